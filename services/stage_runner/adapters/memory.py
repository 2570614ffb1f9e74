"""The memory of the machine, as an account: what runs may take is set aside for them before they begin.

What is available says little at the moment when many begin at once, for none of them has taken anything yet. So a run
that executes commands of a repository waits until its ceiling fits beside those of the others, and is available too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from contracts.task import Budget, RunRequest
from libs.runtime.config import Config, ConfigError
from libs.sandbox.machine import Memory, measure, shortfall
from services.stage_runner.adapters.places import at_once
from services.stage_runner.adapters.stages.context import fail

log = structlog.get_logger(__name__)

#: Seconds after which a run that waits looks again: others than our runs give memory back, too.
AGAIN_S = 1.0


class Account:
    """What is set aside for the runs of this replica, in MB."""

    def __init__(self, reserve_mb: int, measured: Callable[[], Memory] | None) -> None:
        """Open it. Without `measured`, everything fits."""
        self._reserve_mb, self._measured = reserve_mb, measured
        self._taken_mb = 0
        #: First come, first served: a large run would otherwise wait for as long as small ones come.
        self._line = asyncio.Lock()
        self._returned = asyncio.Event()

    @classmethod
    def of(cls, config: Config) -> Account:
        """Open that of the container or machine which the settings name. Raises ConfigError where no task ever fits."""
        scope, reserve_mb = config.config_memory_scope, config.config_memory_reserve_mb
        if scope == "none":
            return cls(reserve_mb, None)
        if never := shortfall(measure(scope), reserve_mb, Budget().memory_mb):
            raise ConfigError(f"nothing could ever start: {never}")
        return cls(reserve_mb, lambda: measure(scope))

    @asynccontextmanager
    async def held(self, request: RunRequest) -> AsyncIterator[None]:
        """Set aside what a run may take, and give it back; waits until it fits. Raises StageError where it never can."""
        taken = 0
        if at_once(request) and self._measured is not None:
            async with self._line:
                while not (taken := self._fitting(request, self._measured())):
                    log.info("run_waits_for_memory", run_id=request.run_id, taken_mb=self._taken_mb)
                    await self._until_returned()
                self._taken_mb += taken
        try:
            yield
        finally:
            self._taken_mb -= taken
            self._returned.set()

    async def _until_returned(self) -> None:
        self._returned.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._returned.wait(), AGAIN_S)

    def _fitting(self, request: RunRequest, memory: Memory) -> int:
        """Say how much is to be set aside for a run now; 0 where it does not fit.

        One command has to fit by itself. What several of them may take at once, if all come to their ceiling, can be
        more than there is: such a run has the machine to itself.
        """
        one = request.input.spec.budget.memory_mb
        if never := shortfall(memory, self._reserve_mb, one):
            fail("impossible", "memory_ceiling", f"budget.memory_mb is too high for this machine: {never}")
        wanted = min(ceiling_of(request), memory.total_mb - self._reserve_mb)
        beside_others = self._taken_mb + wanted + self._reserve_mb <= memory.total_mb
        return wanted if beside_others and one + self._reserve_mb <= memory.available_mb else 0


def ceiling_of(request: RunRequest) -> int:
    """Say what a run's commands may take at once, in MB."""
    return request.input.spec.budget.memory_mb * at_once(request)
