"""All events of one task, found by what its own streams name: complete whatever the views have not folded yet."""

from __future__ import annotations

from contracts.message import TOKEN, Recorded
from contracts.resolution import LoopExhausted
from contracts.task import (
    GateRequested,
    StageRequested,
    TaskGivenUp,
    WithdrawalRequested,
    WorkspaceRequested,
)
from libs.eventstore.store import Cursor, Store

#: Above every position.
LAST = 2**62


def cursor(recorded: Recorded) -> Cursor:
    """Say where in the reading order an event is."""
    return Cursor(xid=recorded.xid, position=recorded.position)


async def history_of(store: Store, task_id: str) -> list[Recorded]:
    """Return the events of a task, its runs, reviews, loops, incidents and worktrees, in reading order.

    Events of streams that belong to everybody (admission, alerts) are not among them. Whoever wants to follow a task
    without a gap follows the live stream: streams are read one after the other here.
    """
    if not TOKEN.match(task_id):
        return []
    # What is recorded while the streams are read is left for the next time: it may be in one that was read already.
    horizon = (await store.cursor_of(LAST)).position
    found: list[Recorded] = []
    for category in ("task", "loop", "workspace"):
        found += await store.read_stream(f"{category}-{task_id}")
    for stream in dict.fromkeys(name for recorded in found for name in _named(recorded)):
        found += await store.read_stream(stream)
    return sorted((recorded for recorded in found if recorded.position <= horizon), key=cursor)


async def behind(store: Store, events: list[Recorded], since: int) -> list[Recorded]:
    """Leave out the events up to a public position."""
    after = await store.cursor_of(since)
    return [recorded for recorded in events if cursor(recorded) > after]


def _named(recorded: Recorded) -> tuple[str, ...]:
    match recorded.event:
        case (
            StageRequested(run_id=run_id)
            | WorkspaceRequested(run_id=run_id)
            | WithdrawalRequested(run_id=run_id)
        ):
            return (f"run-{run_id}",)
        case GateRequested(review_id=review_id):
            return (f"review-{review_id}",)
        case LoopExhausted(incident_id=incident_id) | TaskGivenUp(incident_id=incident_id):
            return (f"incident-{incident_id}",)
        case _:
            return ()
