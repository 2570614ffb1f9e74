"""Looks every now and then at the machine's memory and at whether slots are given at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from contracts.task import Budget
from libs.eventstore.store import StoreUnavailableError
from libs.runtime.config import Config, ConfigError
from libs.runtime.running import Running
from libs.runtime.work import Work
from libs.sandbox.machine import Memory, Scope, measure, shortfall
from services.scheduler.domain.pressure import Room

log = structlog.get_logger(__name__)

#: Seconds between two looks.
EVERY_S = 2.0

#: Judges what was seen, with the seconds for which nothing has started; tells whether nothing starts now.
Judge: TypeAlias = Callable[[Room | None, float, Work], Awaitable[bool]]


class Oversight:
    """Looks for one running scheduler, for as long as it leads."""

    def __init__(
        self,
        running: Running,
        judge: Judge,
        measured: Callable[[Scope], Memory] = measure,
    ) -> None:
        self._running, self._judge, self._measured = running, judge, measured
        self._stalled_since: float | None = None

    async def run(self) -> None:
        """Look until cancelled. Raises what `Running.perform` raises for a lost lease."""
        while True:
            try:
                await self.step()
            except StoreUnavailableError as error:
                log.warning("admission_not_looked_at", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def step(self) -> None:
        """Look once. Raises StoreUnavailableError."""
        now, room = asyncio.get_running_loop().time(), room_of(self._running.config, self._measured)
        lasting = 0.0 if self._stalled_since is None else now - self._stalled_since
        stalled = await self._running.perform(lambda work: self._judge(room, lasting, work))
        self._stalled_since = (self._stalled_since or now) if stalled else None


def room_of(config: Config, measured: Callable[[Scope], Memory] = measure) -> Room | None:
    """Measure what there is for one more task; None where nobody wants to know, or the kernel does not say."""
    if config.config_memory_scope == "none":
        return None
    try:
        memory = measured(config.config_memory_scope)
    except OSError as error:
        # Not Linux: there nothing is executed either.
        log.debug("memory_not_measured", error=str(error))
        return None
    return Room(
        total_mb=memory.total_mb,
        available_mb=memory.available_mb,
        reserve_mb=config.config_memory_reserve_mb,
        task_mb=Budget().memory_mb,
        of=memory.of,
        hopeless=shortfall(memory, config.config_memory_reserve_mb, Budget().memory_mb),
    )


def require_room(config: Config, measured: Callable[[Scope], Memory] = measure) -> None:
    """Refuse to start where no task could ever be started. Raises ConfigError."""
    if (room := room_of(config, measured)) and room.hopeless:
        raise ConfigError(f"nothing could ever start: {room.hopeless}")
