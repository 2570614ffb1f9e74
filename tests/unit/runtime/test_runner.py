"""What a process tells of itself while it leads, while another does, and while nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry

from libs.eventstore.outbox import Relay
from libs.eventstore.store import StoreUnavailableError
from libs.messaging.memory import MemoryBus
from libs.runtime.runner import Ready, Runner, _Server
from libs.runtime.running import Running
from libs.testing.samples import registry
from tests.unit.runtime.house import House


class Desk:
    """What would answer over HTTP."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self.should_exit = False

    async def serve(self) -> None:
        await asyncio.Event().wait()


class Process:
    """A process of the house's service, run by the runner."""

    def __init__(self, house: House, replica: str) -> None:
        self.running: Running = house.process(replica)
        self.metrics = CollectorRegistry()
        self.desk: Desk | None = None
        self.runner = Runner(house.service, self.running.config, registry=self.metrics)
        self.relay = Relay("keeper", house.store, MemoryBus(house.server, registry, "keeper"))

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Run it for a while."""
        job = asyncio.create_task(self.runner.serve(self.running, self.relay, self._serve))
        try:
            yield
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)

    def _serve(self, ready: Ready) -> Desk:
        self.desk = Desk(ready)
        return self.desk

    async def says(self, *wrong: str) -> None:
        """Wait until exactly this is not ready."""
        while self.desk is None or sorted(await self.desk.ready()) != sorted(wrong):
            await asyncio.sleep(0.01)

    @property
    def leading(self) -> str:
        """The line of the metric."""
        lines = generate_latest(self.metrics).decode().splitlines()
        [value] = [line for line in lines if line.startswith("autopilot_leading ")]
        return value


async def test_a_standby_says_that_it_stands_by_and_leads_once_the_lease_is_free() -> None:
    house = House()
    leader = await house.lead()
    standby = Process(house, "keeper-2")
    async with asyncio.timeout(30), standby.up():
        await standby.says("standby")
        # That nobody leads can only be told by those that do not.
        assert standby.leading == "autopilot_leading 0.0"
        assert leader.lease is not None
        await house.store.release("keeper", leader.lease.epoch)
        await standby.says()
        assert standby.leading == "autopilot_leading 1.0"


async def test_who_has_not_been_refused_the_lease_is_no_standby() -> None:
    house = House()
    first = Process(house, "keeper-1")
    # The record is away.
    house.store.acquire = _away  # type: ignore[method-assign]
    async with asyncio.timeout(30), first.up():
        await first.says("lease")


def test_an_idle_connection_is_given_up_by_its_user_first() -> None:
    """Through a proxy the server's end of it comes late: a request on its way was lost, and no client repeats a POST."""

    async def ready() -> dict[str, str]:
        return {}

    running = House().running
    server = _Server(running, ready, running.config)
    # Longer than common clients keep one: httpx 5 s, Go's and browsers' some 60.
    assert server.config.timeout_keep_alive > 60


async def _away(*_: object, **__: object) -> None:
    raise StoreUnavailableError("no connection")
