"""Delivers due timers of a service as ordinary work; only its leader does.

It sleeps until the first of them is due. Those that this process sets it hears of; whatever else may have set one, or set
the clock, the next beat of the pulse tells.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from libs.eventstore.store import Beat, ConflictError, StaleLeaseError, StoreUnavailableError, Timer
from libs.runtime.running import MAX_CONFLICTS, NotLeaderError, Running
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Seconds between two looks at a timer that stays due.
SHORTEST_S = 0.02
#: Seconds that a failing timer is put off at most.
LONGEST_PAUSE_S = 60.0


class Timekeeping:
    """The timer loop of one running service."""

    def __init__(self, running: Running) -> None:
        self._running = running
        #: When the first timer is due, as far as is known; None where none is.
        self._due: datetime | None = None
        self._changed = asyncio.Event()
        #: How often a timer has failed in this process, by key.
        self._failures: dict[str, int] = {}
        running.on_timer = self._expect
        running.pulse.listen(self._heed)

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._expect(self._running.clock.now())
        while True:
            await self._until_due()
            # Before the record is asked: what is set meanwhile may not be among what it says.
            self._due = None
            try:
                await self.step()
                due = await self._running.store.next_timer(self._running.service.name)
            except StoreUnavailableError as error:
                log.warning("timers_unreachable", error=str(error))
                continue
            if due is not None:
                now = self._running.clock.now()
                self._expect(due if due > now else now + timedelta(seconds=SHORTEST_S))

    async def _until_due(self) -> None:
        while (wait_s := self._wait_s()) is None or wait_s > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _wait_s(self) -> float | None:
        return None if self._due is None else (self._due - self._running.clock.now()).total_seconds()

    def _expect(self, due: datetime) -> None:
        """Look at a time, if not sooner."""
        if self._due is None or due < self._due:
            self._due = due
            self._changed.set()

    def _heed(self, beat: Beat) -> None:
        if beat.due is not None:
            self._expect(beat.due)
        # The clock may have been set.
        self._changed.set()

    async def step(self) -> int:
        """Deliver what is due now and return how many that were."""
        service = self._running.service
        due = await self._running.store.due_timers(service.name, self._running.clock.now())
        if due:
            await self._deliver(due)
        return len(due)

    async def _deliver(self, due: Sequence[Timer]) -> None:
        """Deliver in one append; if that fails, one after the other."""
        failed: list[Timer] = []

        async def act(work: Work) -> None:
            failed.clear()
            for timer in due:
                work.turn(None)
                try:
                    await self._handle(timer, work)
                except (StaleLeaseError, NotLeaderError, StoreUnavailableError):
                    raise
                except Exception:
                    log.exception("timer_failed", kind=timer.kind, key=timer.key)
                    work.undo()
                    failed.append(timer)

        alone = len(due) == 1
        try:
            await self._running.perform(act, conflicts=MAX_CONFLICTS if alone else 0)
        except (StaleLeaseError, NotLeaderError, StoreUnavailableError):
            raise
        except Exception as error:
            if not alone:
                for timer in due:
                    await self._deliver([timer])
                return
            if isinstance(error, ConflictError):
                log.warning("timer_conflict", key=due[0].key, error=str(error))
                return
            log.exception("timer_failed", kind=due[0].kind, key=due[0].key)
            failed = [*due]
        for timer in due:
            if timer in failed:
                await self._postpone(timer)
            else:
                self._failures.pop(timer.key, None)

    async def _handle(self, timer: Timer, work: Work) -> None:
        work.clear_timer(timer.key)
        handler = self._running.service.timers.get(timer.kind)
        if handler is None:
            log.error("timer_without_handler", kind=timer.kind, key=timer.key)
        else:
            await handler(timer.subject, work)

    async def _postpone(self, timer: Timer) -> None:
        """Put a failing timer off, longer each time: others must not wait behind it."""
        failures = self._failures[timer.key] = self._failures.get(timer.key, 0) + 1
        due = self._running.clock.now() + timedelta(seconds=min(2.0**failures, LONGEST_PAUSE_S))

        async def later(work: Work) -> None:
            work.set_timer(timer.key, due, timer.kind, timer.subject)

        await self._running.perform(later)
