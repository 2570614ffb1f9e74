"""Looks at the conditions that the record keeps: alerts about the bus must not depend on the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from libs.eventstore.store import Condition, StoreUnavailableError
from libs.runtime.running import Running
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Seconds between two looks; an alert must be out within five.
EVERY_S = 1.0
#: Seconds for which a condition that ended unseen is still told: alerting may have been away.
LATE_S = 7 * 86_400.0


class ConditionWatch:
    """Looks for one running service; what was told already is told again after a restart, and then is silence."""

    def __init__(self, running: Running, tell: Callable[[Condition, Work], Awaitable[None]]) -> None:
        self._running, self._tell = running, tell
        #: When the conditions ended that this process has told of, as far as they have.
        self._told: dict[tuple[str, str, datetime], datetime | None] = {}

    async def run(self) -> None:
        """Look until cancelled. Raises what `Running.perform` raises for a lost lease."""
        while True:
            try:
                await self.step()
            except StoreUnavailableError as error:
                log.warning("conditions_not_looked_at", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def step(self) -> None:
        """Look once. Raises StoreUnavailableError; what was not told then is told by the next look."""
        found = {
            (one.kind, one.subject, one.began): one
            for one in await self._running.store.conditions(within_s=LATE_S)
        }
        for place, condition in found.items():
            if place not in self._told or self._told[place] != condition.ended:
                await self._record(condition)
                self._told[place] = condition.ended
        self._told = {place: ended for place, ended in self._told.items() if place in found}

    async def _record(self, condition: Condition) -> None:
        await self._running.perform(lambda work: self._tell(condition, work))
