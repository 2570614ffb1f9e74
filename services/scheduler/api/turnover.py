"""Reads off the record how often a slot has come free."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from contracts.admission import SlotGranted, SlotReleased
from contracts.message import stream_name, wire_type
from libs.eventstore.store import Store
from libs.runtime.running import Running
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.pace import MOST, Pace, Turn, pace
from services.scheduler.domain.pool import Admission

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
    """Read who got a slot and who gave one back lately, oldest first."""
    turns: list[Turn] = []
    for head in await store.heads(admission.category, limit=1):
        for span in (NEAR, FAR):
            after = max(head.version - span, 0)
            events = await store.read_stream(stream_name(admission.category, POOL), after, types=_TYPES)
            turns = [cast(Turn, (event.type, event.recorded_at)) for event in events]
            if sum(kind == "slot_released" for kind, _ in turns) > MOST or not after:
                break
    return turns
