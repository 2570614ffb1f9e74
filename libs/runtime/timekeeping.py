"""Delivers due timers of a service as ordinary work; only its leader does."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import structlog

from libs.eventstore.store import ConflictError, StaleLeaseError, StoreUnavailableError, Timer
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Seconds between looks when nothing is known to be due sooner.
LOOK_S = 0.5
#: Seconds that a failing timer is put off at most.
LONGEST_PAUSE_S = 60.0


class Timekeeping:
    """The timer loop of one running service."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._hint = asyncio.Event()
        #: How often a timer has failed in this process, by key.
        self._failures: dict[str, int] = {}
        running.on_timer = self._hint.set

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self.step()
                due = await self._running.store.next_timer(self._running.service.name)
            except StoreUnavailableError as error:
                log.warning("timers_unreachable", error=str(error))
                due = None
            wait = LOOK_S
            if due is not None:
                wait = min(max((due - self._running.clock.now()).total_seconds(), 0.02), LOOK_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hint.wait(), wait)
            self._hint.clear()

    async def step(self) -> int:
        """Deliver what is due now and return how many that were."""
        service = self._running.service
        due = await self._running.store.due_timers(service.name, self._running.clock.now())
        for timer in due:
            await self._deliver(timer)
        return len(due)

    async def _deliver(self, timer: Timer) -> None:
        handler = self._running.service.timers.get(timer.kind)

        async def act(work: Work) -> None:
            work.clear_timer(timer.key)
            if handler is None:
                log.error("timer_without_handler", kind=timer.kind, key=timer.key)
            else:
                await handler(timer.subject, work)

        try:
            await self._running.perform(act)
            self._failures.pop(timer.key, None)
        except (StaleLeaseError, NotLeaderError, StoreUnavailableError):
            raise
        except ConflictError as error:
            log.warning("timer_conflict", key=timer.key, error=str(error))
        except Exception:
            log.exception("timer_failed", kind=timer.kind, key=timer.key)
            await self._postpone(timer)

    async def _postpone(self, timer: Timer) -> None:
        """Put a failing timer off, longer each time: others must not wait behind it."""
        failures = self._failures[timer.key] = self._failures.get(timer.key, 0) + 1
        due = self._running.clock.now() + timedelta(seconds=min(2.0**failures, LONGEST_PAUSE_S))

        async def later(work: Work) -> None:
            work.set_timer(timer.key, due, timer.kind, timer.subject)

        await self._running.perform(later)
