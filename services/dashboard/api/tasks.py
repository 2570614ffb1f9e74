"""Tasks for programs and for the page: lists, one task, its events, the flow by stage."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from contracts.message import TOKEN
from contracts.task import PullRequestRef
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from services.dashboard.api import views
from services.dashboard.api.flow import flow
from services.dashboard.api.history import behind, history_of
from services.dashboard.api.present import evidence_of, task_view
from services.dashboard.api.record import Limit, Since, page_of_events
from services.dashboard.api.secure import SecureRoute
from services.dashboard.projections.documents import Card, Phase, TaskDocument

#: Besides the phases: every task that has not ended, and those of them that neither wait in the queue nor are parked.
Wanted: TypeAlias = Literal[Phase, "active", "underway"]
_ASIDE = frozenset({"queued", "parked", "unknown"})


class PullView(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request with the task that it is of."""

    task_id: str
    title: str
    phase: str
    synthetic: bool
    pull_request: PullRequestRef


def routes(running: Running) -> APIRouter:
    """Build the routes about tasks."""
    router = APIRouter(route_class=SecureRoute)
    store = running.store

    @router.get("/tasks")
    async def tasks(
        limit: Limit = 100,
        before: Annotated[str, Query(max_length=300)] = "",
        phase: Wanted | None = None,
        synthetic: bool | None = None,
        text: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """List tasks, newest first; `before` takes the `next` of the page before.

        `text` is looked for in title, id, repositories, engine and reason, whatever its case.
        """
        words = text.casefold().split()

        def keep(card: Card) -> bool:
            wanted = phase in (None, "active", card.phase) or (
                phase == "underway" and card.phase not in _ASIDE
            )
            return wanted and synthetic in (None, card.synthetic) and _says(card, words)

        view = "active" if phase in ("active", "underway") else "card"
        found = await views.listing(store, view, Card, limit=limit, before=before, keep=keep)
        return json_response({"tasks": found.items, "next": found.next})

    @router.get("/tasks/{task_id}")
    async def one(task_id: str) -> Response:
        """Show one task with its timeline, runs, gates and evidence."""
        return json_response(task_view(await document_of(task_id)))

    @router.get("/tasks/{task_id}/events")
    async def events(task_id: str, since: Since = 0, limit: Limit = 500) -> Response:
        """List the events of all streams of a task, in reading order."""
        found = await history_of(store, task_id)
        if not found:
            raise Problem(404, "Not found", f"there is no task {task_id[:120]!r}")
        return json_response(page_of_events(await behind(store, found, since), limit, since))

    @router.get("/tasks/{task_id}/evidence")
    async def evidence(task_id: str) -> Response:
        """List what is stored of a task."""
        return json_response({"evidence": evidence_of(await document_of(task_id))})

    @router.get("/stages")
    async def stages() -> Response:
        """Count the tasks that have not ended by stage, with the age of the oldest; simulated ones apart."""
        cards = [card async for _, card in views.each(store, "active", Card)]
        return json_response(flow(cards, running.clock.now()))

    @router.get("/pulls")
    async def pulls(limit: Limit = 100, before: Annotated[str, Query(max_length=300)] = "") -> Response:
        """List pull requests by task, newest task first."""
        found = await views.listing(
            store, "card", Card, limit=limit, before=before, keep=lambda card: bool(card.pull_requests)
        )
        shown = [
            PullView(
                task_id=card.id,
                title=card.title,
                phase=card.phase,
                synthetic=card.synthetic,
                pull_request=pull,
            )
            for card in found.items
            for pull in card.pull_requests
        ]
        return json_response({"pulls": shown, "next": found.next})

    async def document_of(task_id: str) -> TaskDocument:
        if not TOKEN.match(task_id):
            raise Problem(404, "Not found", f"there is no task {task_id[:120]!r}")
        return await views.known(store, "task", task_id, TaskDocument)

    return router


def _says(card: Card, words: list[str]) -> bool:
    if not words:
        return True
    said = "\n".join((card.title, card.id, card.engine, card.stage, card.reason, *card.repos)).casefold()
    return all(word in said for word in words)
