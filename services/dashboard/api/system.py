"""The system as a whole: mode, alerts, how far the views are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from libs.runtime.http import json_response
from libs.runtime.running import Running
from services.dashboard.api import views
from services.dashboard.api.flow import flow
from services.dashboard.api.history import LAST
from services.dashboard.api.record import Limit
from services.dashboard.api.secure import SecureRoute
from services.dashboard.projections.documents import (
    AlertDocument,
    Card,
    DiskDocument,
    LimitDocument,
    ModeDocument,
)

#: The one scope of the mode, and the one pool of slots.
SCOPE, POOL = "system", "main"
#: Slots until anybody has changed it.
DEFAULT_SLOTS = 10
#: The latest tasks by which outcomes are counted.
OUTCOME_WINDOW = 1_000


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """What everything else stands on."""

    mode: ModeDocument
    max_concurrent: int
    running: int
    active: int
    parked: int
    synthetic: int
    open_alerts: int
    #: Outcomes of the latest tasks that are not simulated, and how many tasks were looked at.
    outcomes: dict[str, int]
    outcome_window: int
    disks: list[DiskDocument]
    #: Position of the last event in the record; a live stream goes on behind it.
    position: int
    now: datetime


def routes(running: Running) -> APIRouter:
    """Build the routes about the system."""
    router = APIRouter(route_class=SecureRoute)
    store = running.store

    @router.get("/system")
    async def system() -> Response:
        """Tell how the whole system is doing."""
        # Read first: what happens while the rest is read comes with the live stream again.
        position = (await store.cursor_of(LAST)).position
        now = running.clock.now()
        active = flow([card async for _, card in views.each(store, "active", Card)], now)
        limit = await views.one(store, "limit", POOL, LimitDocument)
        latest = await views.listing(
            store, "card", Card, limit=OUTCOME_WINDOW, before="", keep=lambda _: True
        )
        outcomes = {"done": 0, "incident": 0, "cancelled": 0}
        for card in latest.items:
            if card.phase in outcomes and not card.synthetic:
                outcomes[card.phase] += 1
        open_alerts = [alert async for _, alert in views.each(store, "open_alert", AlertDocument)]
        return json_response(
            SystemView(
                mode=await mode_in_force(),
                max_concurrent=limit.max_concurrent if limit else DEFAULT_SLOTS,
                running=active.running,
                active=active.active,
                parked=active.parked,
                synthetic=active.synthetic,
                open_alerts=len(open_alerts),
                outcomes=outcomes,
                outcome_window=len(latest.items),
                disks=[disk async for _, disk in views.each(store, "disk", DiskDocument)],
                position=position,
                now=now,
            )
        )

    @router.get("/mode")
    async def mode() -> Response:
        """Tell the mode in force, and who brought it about."""
        return json_response(await mode_in_force())

    @router.get("/alerts")
    async def alerts(
        limit: Limit = 100,
        before: Annotated[str, Query(max_length=300)] = "",
        state: Literal["open", "resolved"] | None = None,
    ) -> Response:
        """List alerts, newest first."""

        def keep(alert: AlertDocument) -> bool:
            return state != "resolved" or alert.resolved_at is not None

        view = "open_alert" if state == "open" else "alert"
        found = await views.listing(store, view, AlertDocument, limit=limit, before=before, keep=keep)
        return json_response({"alerts": found.items, "next": found.next})

    async def mode_in_force() -> ModeDocument:
        return await views.one(store, "mode", SCOPE, ModeDocument) or ModeDocument()

    return router
