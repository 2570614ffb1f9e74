"""The record itself: pages of events, and the live stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from contracts.message import Recorded
from libs.eventstore.store import StoreUnavailableError
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from services.dashboard.api.feed import Feed, Frame
from services.dashboard.api.history import behind, history_of
from services.dashboard.api.present import event_json
from services.dashboard.api.secure import SecureRoute
from services.dashboard.projections.task import task_of

log = structlog.get_logger(__name__)

#: A public position.
Since = Annotated[int, Query(ge=0, le=2**62)]
Limit = Annotated[int, Query(ge=1, le=500)]
#: Bytes of events after which an answer is closed; patches travel in events.
MAX_ANSWER = 8 * 2**20
#: Seconds between heartbeats, and until a client that takes nothing is given up.
HEARTBEAT_S, GIVE_UP_S = 15, 30
MAX_CLIENTS = 200
#: Milliseconds after which a client comes back.
RETRY_MS = 2_000


def routes(running: Running) -> APIRouter:
    """Build the routes about events."""
    router = APIRouter(route_class=SecureRoute)
    store = running.store

    @router.get("/events")
    async def events(since: Since = 0, limit: Limit = 100, task: str = "") -> Response:
        """List events behind a position in reading order, of one task if it is named."""
        if task:
            found = await behind(store, await history_of(store, task), since)
        else:
            found = await store.read_all(await store.cursor_of(since), limit=limit + 1)
        return json_response(page_of_events(found, limit, since))

    @router.get("/events/{event_id}")
    async def event(event_id: str) -> Response:
        """Show one event."""
        found = await store.find(event_id)
        if found is None:
            raise Problem(404, "Not found", f"the record has no event {event_id[:120]!r}")
        return json_response(msgspec.Raw(event_json(found)))

    @router.get("/stream")
    async def stream(
        request: Request,
        since: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        task: str = "",
        brief: bool = False,
    ) -> Response:
        """Follow the record: `id` is the position, `event` the type, `data` the event as JSON.

        `Last-Event-ID` (or `since`) resumes behind a position; without either it begins now. With `brief`, every event
        is named `news` and says only what happened to whom; heartbeats are then events too, so that a page can see them.
        """
        feed: Feed = running.parts.feed
        if feed.closed or feed.clients >= MAX_CLIENTS:
            raise Problem(
                503,
                "No live stream",
                "this process stops or has too many clients",
                headers={"Retry-After": "5"},
            )
        given = request.headers.get("last-event-id", "")
        if given and not (given.isascii() and given.isdigit() and len(given) <= 18):
            raise Problem(422, "Invalid request", "Last-Event-ID is not a position", field="Last-Event-ID")
        messages = _messages(feed, int(given) if given else since, task, brief)
        beat = (lambda: ServerSentEvent("{}", event="heartbeat")) if brief else None
        return EventSourceResponse(
            messages, ping=HEARTBEAT_S, ping_message_factory=beat, send_timeout=GIVE_UP_S
        )

    return router


async def _messages(feed: Feed, since: int | None, task: str, brief: bool) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="the record follows", retry=RETRY_MS)
    try:
        # Closed with this generator and not some time later: until then the client would be counted as live.
        async with aclosing(feed.events(since)) as frames:
            async for frame in frames:
                if not task or concerns(frame.recorded, task):
                    yield _message(frame, brief)
    except StoreUnavailableError as error:
        # The client comes back with the last position that it has seen.
        log.warning("stream_ended", reason=str(error))


def _message(frame: Frame, brief: bool) -> ServerSentEvent:
    position = str(frame.recorded.position)
    if brief:
        return ServerSentEvent(frame.brief, event="news", id=position)
    return ServerSentEvent(frame.full, event=frame.recorded.type, id=position)


def concerns(recorded: Recorded, task_id: str) -> bool:
    """Tell whether an event is about a task, or was caused by one that is."""
    return task_id in (task_of(recorded.event), recorded.meta.correlation_id)


def page_of_events(found: Sequence[Recorded], limit: int, since: int) -> dict[str, Any]:
    """Answer with the first events of a list: `next` is where to go on, `more` whether there is any already."""
    shown: list[msgspec.Raw] = []
    size = 0
    for recorded in found[:limit]:
        encoded = event_json(recorded)
        if shown and size + len(encoded) > MAX_ANSWER:
            break
        size += len(encoded)
        shown.append(msgspec.Raw(encoded))
    reached = found[len(shown) - 1].position if shown else since
    return {"events": shown, "next": reached, "more": len(shown) < len(found)}
