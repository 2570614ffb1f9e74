"""Several services in one process over the in-memory twins, time moved by hand: nothing waits, nothing is mocked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from contracts.message import Recorded
from libs.eventstore.memory import MemoryStore
from libs.eventstore.outbox import Relay
from libs.eventstore.store import Cursor, LeaseClaim
from libs.messaging.memory import MemoryBus, MemoryServer
from libs.messaging.topology import derive
from libs.runtime.config import Config
from libs.runtime.consumption import Consumption
from libs.runtime.following import Following
from libs.runtime.hearing import Hearing
from libs.runtime.running import Running
from libs.runtime.service import Service
from libs.runtime.timekeeping import Timekeeping
from libs.testing.clock import ManualClock
from libs.testing.ids import CountedIds

#: Rounds without an end after which a world counts as running in circles.
MAX_ROUNDS = 2_000


class World:
    """Seven services, one record, one bus, one clock."""

    def __init__(
        self, services: Sequence[Service], data_dir: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.services = {service.name: service for service in services}
        self.clock, self.ids = ManualClock(), CountedIds()
        self.registry = services[0].registry
        self.store = MemoryStore(self.registry, self.clock)
        self.server = MemoryServer(derive([service.declaration for service in services]), self.clock)
        self.running: dict[str, Running] = {}
        self._relays: dict[str, Relay] = {}
        self._consumptions: dict[str, list[Consumption]] = {}
        self._followings: dict[str, list[Following]] = {}
        self._timekeeping: dict[str, Timekeeping] = {}
        self._hearings: dict[str, Hearing] = {}
        self._data_dir, self._settings = data_dir, dict(settings or {})

    async def start(self, name: str) -> Running:
        """Start one service, or start it again as after a crash: nothing but the record is kept."""
        service = self.services[name]
        bus = MemoryBus(self.server, self.registry, name)
        # No back-off: it would go by a clock that is not moved by hand.
        relay = Relay(name, self.store, bus, back_off_s=0.0)
        config = Config(
            service=name,
            data_dir=self._data_dir,
            postgres_dsn="",
            nats_url="",
            nats_user=name,
            nats_password="",
            http_port=0,
            api_token="token-of-the-tests",
            scrape_token="scrape-token",
            session_key="session-key-of-the-tests",
            **{"config_memory_scope": "none", **self._settings},
        )
        running = Running(
            service,
            config=config,
            store=self.store,
            bus=bus,
            clock=self.clock,
            ids=self.ids,
            publish=relay.publish,
        )
        if service.assemble is not None:
            running.parts = await service.assemble(running)
        lease = await self.store.acquire(
            config.holder if service.lease_per_replica else name, config.holder, 3_600
        )
        assert lease is not None, f"{name} could not get its lease"
        running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
        self.running[name], self._relays[name] = running, relay
        self._consumptions[name] = [Consumption(running, consumer) for consumer in service.consumes]
        self._followings[name] = [Following(running, follower) for follower in service.follows]
        self._timekeeping[name] = Timekeeping(running)
        self._hearings[name] = Hearing(running)
        await self._hearings[name].open()
        return running

    async def start_all(self) -> None:
        """Start every service."""
        for name in self.services:
            await self.start(name)

    async def crash(self, name: str) -> None:
        """Take a service away with all that it held in memory."""
        running = self.running.pop(name)
        running.stand_down()
        if hasattr(running.parts, "abandon"):
            await running.parts.abandon()
        for part in (
            self._relays,
            self._consumptions,
            self._followings,
            self._timekeeping,
            self._hearings,
        ):
            part.pop(name)

    async def step(self) -> int:
        """Let every service publish, consume one batch, and deliver due timers; return how much happened."""
        happened = 0
        for name in list(self.running):
            await self._relays[name].flush()
            happened += await self._relays[name].sweep()
            for consumption in self._consumptions[name]:
                happened += await consumption.step(0.0)
            for following in self._followings[name]:
                happened += await following.step()
            happened += await self._timekeeping[name].step()
            happened += await self._hearings[name].step()
            parts = self.running[name].parts
            if hasattr(parts, "idle"):
                await parts.idle()
            await self._relays[name].flush()
        return happened

    async def settle(self) -> None:
        """Step until nothing happens any more at this time."""
        quiet = 0
        for _ in range(MAX_ROUNDS):
            quiet = 0 if await self.step() else quiet + 1
            if quiet == 2:
                return
            await asyncio.sleep(0)
        raise AssertionError("the services run in circles")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass and the services settle."""
        self.clock.advance(seconds)
        await self.settle()

    async def events(self, *types: str) -> list[Recorded]:
        """List what was recorded so far, only of some types if given."""
        found = await self.store.read_all(Cursor(), limit=1_000_000)
        return [event for event in found if not types or event.type in types]

    async def perform(self, name: str, act: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do some work as one of the services."""
        return await self.running[name].perform(act)
