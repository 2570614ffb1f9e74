"""Keeps the record sealed while the stack runs; how that goes is told in the status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from autopilot.stack import status
from autopilot.stack.status import JournalStatus

_log = structlog.get_logger(__name__)


class JournalKeeper:
    """Runs the injected sealing in the background. Whatever becomes of it, the stack goes on."""

    def __init__(
        self,
        seal: Callable[[Callable[[str | None], None]], Awaitable[None]],
        *,
        on_change: Callable[[], None],
    ) -> None:
        self._seal = seal
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self.status: JournalStatus | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="journal")

    async def stop(self) -> None:
        """End it; twice is once."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        try:
            await self._seal(self._tell)
        except Exception as error:
            _log.exception("journal_ended")
            self._tell(f"ended with {type(error).__name__}: {error}")

    def _tell(self, error: str | None) -> None:
        if self.status is None or self.status.error != error:
            self.status = JournalStatus(ok=error is None, at=status.now(), error=error)
            self._on_change()
