"""Every event, folded into the documents it concerns, in the same append as its inbox mark."""

from __future__ import annotations

from functools import partial

from contracts.admission import LimitChanged
from contracts.alert import AlertEvent
from contracts.message import Recorded
from contracts.mode import ModeChanged
from contracts.resolution import IncidentEvent
from contracts.workspace import DiskEvent
from libs.runtime.projection import Documents
from services.dashboard.projections.alert import alert_sort, fold_alert
from services.dashboard.projections.card import active_card_of, card_of, card_sort
from services.dashboard.projections.documents import (
    AlertDocument,
    Card,
    DiskDocument,
    IncidentDocument,
    LimitDocument,
    ModeDocument,
    TaskDocument,
)
from services.dashboard.projections.resolution import fold_incident, incident_sort
from services.dashboard.projections.system import disk_of, limit_of, mode_of
from services.dashboard.projections.task import fold_task, task_of


async def project(recorded: Recorded, into: Documents) -> None:
    """Bring every document up to date that an event is about."""
    task_id = task_of(recorded.event)
    if task_id:
        await _project_task(task_id, recorded, into)
    match recorded.event:
        case ModeChanged() as event:
            mode = mode_of(recorded, event)
            await into.document("mode", event.scope, ModeDocument, lambda _: mode, lambda _: "")
        case LimitChanged() as event:
            limit = limit_of(recorded, event)
            await into.document("limit", event.pool, LimitDocument, lambda _: limit, lambda _: "")
        case event if isinstance(event, AlertEvent):
            await _project_alert(event, recorded, into)
        case event if isinstance(event, IncidentEvent):
            await into.document(
                "incident",
                event.incident_id,
                IncidentDocument,
                partial(fold_incident, recorded=recorded, event=event),
                incident_sort,
            )
        case event if isinstance(event, DiskEvent):
            disk = disk_of(recorded, event)
            await into.document("disk", event.volume, DiskDocument, lambda _: disk, lambda _: "")
        case _:
            return


async def _project_task(task_id: str, recorded: Recorded, into: Documents) -> None:
    folded: list[TaskDocument] = []

    def fold(before: TaskDocument | None) -> TaskDocument:
        folded.append(fold_task(before, recorded))
        return folded[-1]

    await into.document("task", task_id, TaskDocument, fold, lambda _: "")
    # The task's document is written behind the version that was read, so cards cannot be derived from a stale one.
    into.derive(("card", task_id), partial(_derive_cards, folded[-1], into))


async def _derive_cards(document: TaskDocument, into: Documents) -> None:
    card, active = card_of(document), active_card_of(document)
    await into.document("card", document.task_id, Card, lambda _: card, card_sort)
    await into.document("active", document.task_id, Card, lambda _: active, card_sort)


async def _project_alert(event: AlertEvent, recorded: Recorded, into: Documents) -> None:
    folded: list[AlertDocument] = []

    def fold(before: AlertDocument | None) -> AlertDocument:
        folded.append(fold_alert(before, recorded, event))
        return folded[-1]

    await into.document("alert", event.alert_id, AlertDocument, fold, alert_sort)
    # Those that are open have a view of their own: years of resolved ones must not be looked through for them.
    still_open = None if folded[-1].resolved_at else folded[-1]
    await into.document("open_alert", event.alert_id, AlertDocument, lambda _: still_open, alert_sort)
