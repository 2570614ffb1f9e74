"""Keeps the bus's streams and consumers in being: at the start, every few seconds, and after each server restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from autopilot.stack import status
from autopilot.stack.errors import PartFailedError
from autopilot.stack.status import TopologyStatus

_log = structlog.get_logger(__name__)

_EVERY_S = 5.0
_TIMEOUT_S = 15.0
_CLOSING_S = 1.0

PART = "topology"


async def outcome_of(work: Awaitable[None], timeout_s: float) -> str | None:
    """Await work that was injected, bounded in time; returns what went wrong instead of raising, None if nothing."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    finally:
        if not task.done():
            # It gets a moment to close what it has open, when the time is over and when this wait is cancelled.
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSING_S)
    if not task.done() or task.cancelled():
        return f"not done within {timeout_s:.0f} s"
    error = task.exception()
    return None if error is None else f"{type(error).__name__}: {error}"


class TopologyKeeper:
    """Runs the injected check again and again; a failing one is told in the status and tried again."""

    def __init__(
        self,
        ensure: Callable[[], Awaitable[None]],
        *,
        bus_is_ready: Callable[[], bool],
        on_change: Callable[[], None],
        every_s: float = _EVERY_S,
    ) -> None:
        self._ensure = ensure
        self._bus_is_ready = bus_is_ready
        self._on_change = on_change
        self._every_s = every_s
        self._now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.status: TopologyStatus | None = None

    async def first(self) -> None:
        """Run the check once; raises `PartFailedError`."""
        if error := await self._check():
            raise PartFailedError(PART, error)

    def start(self) -> None:
        """Go on checking in the background."""
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="topology")

    def soon(self) -> None:
        """Have the next check now: the server has just been started again and may have lost everything."""
        self._now.set()

    async def stop(self) -> None:
        """End the background checks; twice is once."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._now.wait()
            self._now.clear()
            if self._bus_is_ready():
                await self._check()

    async def _check(self) -> str | None:
        before = self.status
        error = await outcome_of(self._ensure(), _TIMEOUT_S)
        self.status = TopologyStatus(ok=error is None, at=status.now(), error=error)
        # Only changes are told: the check runs 17,000 times a day.
        if before is None or before.ok != self.status.ok or before.error != error:
            if error:
                _log.warning("topology_failed", error=error)
            self._on_change()
        return error
