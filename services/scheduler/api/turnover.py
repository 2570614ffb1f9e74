"""Reads off the record how often a slot has come free, or a task of a batch has ended."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import cast

from contracts.admission import SlotGranted, SlotReleased
from contracts.message import Recorded, stream_name, wire_type
from libs.eventstore.store import Store
from libs.runtime.running import Running
from services.scheduler.domain.admission import POOL, Admission, admission
from services.scheduler.domain.pace import MOST, Pace, Turn, pace, spacing
from services.scheduler.domain.state import ENDS

#: Events of the pool that are looked through for its last turns; the second only where the first held too few.
NEAR, FAR = 250, 2_500
#: For how long a measurement is good: whoever waits asks several times a second.
FRESH = timedelta(seconds=1)
_TYPES = (wire_type(SlotGranted), wire_type(SlotReleased))


class Turnover:
    """Measures the pace at which slots come free, once for all who ask within a second."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._measured: tuple[datetime, Pace | None] | None = None

    async def pace(self, pool: Admission) -> Pace | None:
        """Return the present pace; None where the record has no basis for one."""
        now = self._running.clock.now()
        if self._measured is None or now - self._measured[0] >= FRESH:
            turns = await last_turns(self._running.store)
            found = pace(turns, running=len(pool.running), limit=pool.limit, now=now)
            self._measured = now, found
        return self._measured[1]


async def last_turns(store: Store) -> list[Turn]:
    """Read when slots were given and given back lately, oldest first."""
    turns: list[Turn] = []
    for span in (NEAR, FAR):
        events, whole = await _latest(store, span)
        turns = [cast(Turn, (event.type, event.recorded_at)) for event in events]
        if sum(kind == "slot_released" for kind, _ in turns) > MOST or whole:
            break
    return turns


async def ends(running: Running, members: Collection[str]) -> Pace | None:
    """Measure how often one of these tasks has ended lately; None for too few."""
    latest, _ = await _latest(running.store, FAR)
    times = [
        event.recorded_at
        for event in latest
        if isinstance(event.event, SlotReleased)
        and event.event.reason in ENDS
        and event.event.task_id in members
    ]
    return spacing(times[: -MOST - 1 : -1], running.clock.now())


async def _latest(store: Store, span: int) -> tuple[list[Recorded], bool]:
    """Read the turns among the last events of the pool; also whether these are all there are."""
    for head in await store.heads(admission.category, limit=1):
        stream = stream_name(admission.category, POOL)
        return await store.read_stream(
            stream, max(head.version - span, 0), types=_TYPES
        ), head.version <= span
    return [], True
