"""Control events reach every process of a service: the record is read as it grows, and the bus says when to look.

What passes on the bus is a hint: it may be lost, and anybody may have sent it. What is told to a handler was read from the
record, each event once and in order, from where the record ended when this process began. What was said before that a
process learns where it matters: a run that it takes over, the mode that is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from contracts.message import Recorded
from libs.eventstore.store import Cursor, StoreUnavailableError
from libs.messaging.bus import BusUnavailableError
from libs.runtime.running import Running

log = structlog.get_logger(__name__)

#: Seconds between two looks at the record while nothing is heard.
LOOK_S = 1.0
#: Seconds after a hint until the next look, doubled with each: what was hinted at can be read once every transaction
#: that began before it has ended.
SOON_S = 0.01
#: Events looked at together.
PAGE = 1_000


class Hearing:
    """Tells this process's handlers of control events what happens."""

    def __init__(self, running: Running) -> None:
        self._running, self._hearers = running, running.service.hears
        self._types = tuple(dict.fromkeys(type_ for hearer in self._hearers for type_ in hearer.types))
        self._hint = asyncio.Event()
        self._cursor = Cursor()

    async def open(self) -> None:
        """Begin to listen; whatever is said from now on is heard. Returns once both record and bus are there."""
        while self._hearers:
            try:
                await self._running.bus.hear(self._running.service.declaration.hears, self._hint.set)
                self._cursor = await self._running.store.end()
                for hearer in self._hearers:
                    if hearer.in_force:
                        before = await self._running.store.read_stream(hearer.in_force, types=hearer.types)
                        await self._tell(before[-1:])
                return
            except (StoreUnavailableError, BusUnavailableError) as error:
                log.warning("hearing_waits", error=str(error))
                await asyncio.sleep(LOOK_S)

    async def run(self) -> None:
        """Hear until cancelled."""
        pause = LOOK_S
        while self._hearers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hint.wait(), pause)
            hinted = self._hint.is_set()
            self._hint.clear()
            if not hinted and pause >= LOOK_S and not self._running.pulse.has_news(self._cursor):
                continue
            try:
                looked = await self.step()
            except StoreUnavailableError as error:
                log.warning("hearing_waits", error=str(error))
                looked = 0
            pause = SOON_S if hinted or looked == PAGE else min(2 * pause, LOOK_S)

    async def step(self) -> int:
        """Tell what is new; return the number of events looked at. Raises StoreUnavailableError."""
        if not self._hearers:
            return 0
        page = await self._running.store.read_page(self._cursor, self._types, limit=PAGE)
        if page is None:
            return 0
        await self._tell(page.events)
        self._cursor = page.end
        return page.size

    async def _tell(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            for hearer in self._hearers:
                if not isinstance(recorded.event, hearer.events):
                    continue
                try:
                    await hearer.handler(recorded.event, self._running)
                except StoreUnavailableError:
                    raise
                except Exception:
                    # What follows concerns others.
                    log.exception("control_event_failed", event_id=recorded.id, type=recorded.type)
