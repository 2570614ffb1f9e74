"""A bus that loses what it confirmed, and the auditor that makes it anew: the product's own, over the twins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from libs.busaudit.auditor import LOOK_S, Auditor
from libs.busaudit.keeping import wanted_by
from libs.busaudit.memory import MemoryRecord, MemoryView
from libs.eventstore.store import EventStoreError, StoreUnavailableError
from libs.messaging.bus import BusError
from libs.messaging.memoryserver import MemoryServer
from libs.messaging.topology import Topology
from tests.simulation.faults import NONE

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Chance that the auditor dies before, or after, something it asks for.
DEATH = 0.02


def _all(server: MemoryServer, dice: random.Random) -> str:
    server.wipe()
    return "everything"


def _end(server: MemoryServer, dice: random.Random) -> str:
    at = dice.randint(server.first_sequence - 1, server.last_sequence)
    server.truncate(at)
    return f"what lies behind {at}"


def _one(server: MemoryServer, dice: random.Random) -> str:
    at = dice.choice([sequence for sequence, _ in server.numbered()])
    server.delete(at)
    return f"message {at}"


def _places(server: MemoryServer, dice: random.Random) -> str:
    """Acknowledgements that nobody sent."""
    durables = sorted(server.durables)
    for durable in dice.sample(durables, dice.randint(1, len(durables))):
        # Not as it hands out to a consumer: nothing is late or doubled here.
        for taken in MemoryServer.take(server, durable, 10):
            MemoryServer.settle(server, durable, taken.sequence)
    return "what consumers still had to get"


class Losing:
    """Loses parts of one world's bus, and looks after it."""

    def __init__(self, world: World, topology: Topology, seed: int) -> None:
        self._world, self._topology = world, topology
        self._dice = random.Random(f"losing {seed}")
        self._wanted = wanted_by(topology, world.registry)
        self.losses = 0

    async def lose(self, at: float) -> None:
        """Lose something at a moment."""
        await asyncio.sleep(at)
        server = self._world.server
        kinds: list[Callable[[MemoryServer, random.Random], str]] = [_all]
        if server.messages:
            kinds += [_end, _one]
        if server.durables:
            kinds.append(_places)
        what = self._dice.choice(kinds)(server, self._dice)
        self.losses += 1
        self._world.trace.tell("bus", f"loses {what}")
        if self._dice.random() < 0.5:
            # The keeper of the topology may be there before the auditor.
            server.ensure(self._topology)

    async def audit(self) -> None:
        """Look again and again, as `keep_audited` does; one auditor after the other dies."""
        number = 0
        while True:
            number += 1
            try:
                await self._look(f"auditor-{number}")
            except _DiedError:
                self._world.trace.tell(f"auditor-{number}", "dies")
                await asyncio.sleep(self._dice.uniform(0.05, 2.0))

    async def _look(self, holder: str) -> None:
        world = self._world
        view: Any = _Frail(self, MemoryView(world.server, self._topology), lambda: False)
        record: Any = _Frail(self, MemoryRecord(world.store, holder), lambda: world.record_away)
        auditor = Auditor(view, record, self._wanted, world.registry, world.clock.now, self._dice)
        while True:
            wait_s = LOOK_S
            try:
                wait_s = await auditor.look()
            except (BusError, EventStoreError) as error:
                world.trace.tell(holder, f"cannot look: {error}")
            await asyncio.sleep(wait_s)

    def roll(self) -> None:
        """Die, or not."""
        if self._world.faults is not NONE and self._dice.random() < DEATH:
            raise _DiedError


class _DiedError(Exception):
    """The auditor is gone, with all that it held in memory."""


class _Frail:
    """What an auditor asks, before and after which it may die."""

    def __init__(self, losing: Losing, inner: Any, away: Callable[[], bool]) -> None:
        self._losing, self._inner, self._away = losing, inner, away

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def ask(*args: Any, **options: Any) -> Any:
            self._losing.roll()
            if self._away():
                raise StoreUnavailableError("the record does not answer")
            answer = await getattr(self._inner, name)(*args, **options)
            self._losing.roll()
            return answer

        return ask
