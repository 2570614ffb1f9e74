"""The bus as one process reaches it: the in-memory twin, with messages that get lost, doubled, late and out of order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from contracts.message import Recorded
from libs.eventstore.store import StoreUnavailableError
from libs.messaging.bus import BusUnavailableError, Delivery
from libs.messaging.cloudevents import Message
from libs.messaging.memory import MemoryBus, MemoryDelivery, MemoryServer
from libs.messaging.memoryserver import Clock, Taken
from libs.messaging.topology import Topology
from tests.simulation.faults import Faults

if TYPE_CHECKING:
    from tests.simulation.process import Process


class ShakyServer(MemoryServer):
    """A server that loses what it was not seen to keep, and hands out as it pleases."""

    def __init__(
        self, topology: Topology, clock: Clock, dice: random.Random, faults: Callable[[], Faults]
    ) -> None:
        self._dice, self._faults = dice, faults
        self._unsent = False
        super().__init__(topology, clock)
        self.lose_confirmation = self._loses

    def store(self, message: Message) -> None:
        """Store a message, or not."""
        self._unsent = self._dice.random() < self._faults().unsent
        if not self._unsent:
            super().store(message)

    def _loses(self, _: Recorded) -> bool:
        return self._unsent or self._dice.random() < self._faults().unconfirmed

    def take(self, consumer: str, batch: int) -> list[Taken]:
        """Hand messages out in any order; some later, some twice, some to nobody."""
        dice, faults = self._dice, self._faults()
        arrived: list[Taken] = []
        for taken in super().take(consumer, batch):
            if dice.random() < faults.dropped:
                continue  # the wait for its acknowledgement has begun all the same
            if dice.random() < faults.delayed:
                self.postpone(consumer, taken.sequence, dice.uniform(0.0, 3.0))
                continue
            if dice.random() < faults.doubled:
                self.postpone(consumer, taken.sequence, dice.choice((0.0, 0.002, 0.05, 1.0)))
            arrived.append(taken)
        if faults.delayed or faults.doubled:
            dice.shuffle(arrived)
        return arrived


class ShakyBus:
    """One process's connection to the bus."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.world
        self._bus = MemoryBus(self._world.server, self._world.registry, process.service.name)

    async def publish(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Publish; a bus that is away confirms nothing."""
        confirmed = await self.ask("publishing", lambda: self._bus.publish(events), [])
        self._world.trace.tell(self._process.name, f"publishes {_named(events)}, {len(confirmed)} confirmed")
        return confirmed

    async def fetch(self, consumer: str, batch: int, timeout_s: float) -> list[Delivery]:
        """Fetch what is there."""
        process, world = self._process, self._world
        await world.way(process)
        deliveries = await self._bus.fetch(consumer, batch, timeout_s)
        await world.way(process)
        if deliveries:
            what = _named([each.recorded for each in deliveries])
            world.trace.tell(process.name, f"gets {what} for {consumer}")
        return [ShakyDelivery(self, each) for each in deliveries]

    async def dead_letter(self, delivery: Delivery, consumer: str, reason: str, at: datetime) -> None:
        """Give a message up."""
        assert isinstance(delivery, ShakyDelivery)
        self._world.trace.tell(self._process.name, f"gives up {delivery.recorded.id}: {reason}")
        inner = delivery.inner

        async def act() -> bool:
            await self._bus.dead_letter(inner, consumer, reason, at)
            return True

        if not await self.ask("a dead letter", act, False):
            raise BusUnavailableError("the bus does not answer")

    async def ask(self, what: str, act: Callable[[], Awaitable[Any]], otherwise: Any) -> Any:
        """Ask the bus for something that has an effect; `otherwise` is the answer when there is none."""
        try:
            return await self._process.ask(
                "the bus", what, act, writes=True, away=lambda: not self._world.server.available
            )
        except StoreUnavailableError:
            return otherwise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


class ShakyDelivery:
    """A message in a process's hands."""

    def __init__(self, bus: ShakyBus, inner: Delivery) -> None:
        assert isinstance(inner, MemoryDelivery)
        self._bus, self.inner = bus, inner

    async def ack(self) -> None:
        """Acknowledge; it may get lost, or arrive when somebody else has the message."""
        world = self._bus._world
        if world.dice.random() < world.faults.unacknowledged:
            return
        wait = world.dice.uniform(0.5, 6.0) if world.dice.random() < world.faults.late else 0.0

        async def act() -> None:
            await asyncio.sleep(wait)
            await self.inner.ack()

        if wait:
            world.carry_out(act)
        else:
            await self._bus.ask("an acknowledgement", act, None)

    async def nak(self, delay_s: float = 0.0, *, failed: bool = False) -> None:
        """Ask for it again."""
        await self._bus.ask("asking again", lambda: self.inner.nak(delay_s, failed=failed), None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _named(events: Sequence[Recorded]) -> str:
    return " ".join(f"{event.stream}@{event.version}" for event in events)
