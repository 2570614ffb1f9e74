"""A process of the simulation: one replica of a service, run by the product's own `Runner`, over doors that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from fastapi import FastAPI
from prometheus_client.registry import CollectorRegistry

from libs.eventstore.outbox import Relay
from libs.eventstore.store import StoreUnavailableError
from libs.runtime import http
from libs.runtime.config import Config
from libs.runtime.runner import Runner
from libs.runtime.running import Running
from libs.runtime.service import Service
from libs.testing.virtualtime import Owner, owner
from tests.simulation.bus import ShakyBus
from tests.simulation.store import ShakyStore

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
TOKEN = "token-of-the-simulation"


def config(service: str, holder: str, data_dir: str) -> Config:
    """Make the settings of a process."""
    return Config(
        service=service,
        data_dir=data_dir,
        postgres_dsn="postgresql://user:password-of-the-record@nowhere/autopilot",
        nats_url="",
        nats_user=service,
        nats_password="password-of-the-bus",
        http_port=0,
        api_token=TOKEN,
        scrape_token="token-of-the-scrape",
        session_key="key-of-the-session",
        replica=holder,
        # The machine that simulates is no part of what is simulated.
        config_memory_scope="none",
    )


class Process(Owner):
    """One life of one replica; a restart is a new one. Nothing of it outlives it but what the doors let through."""

    def __init__(self, world: World, service: Service, holder: str) -> None:
        super().__init__()
        self.world, self.service, self.name = world, service, holder
        self.sluggish = holder in world.sluggish
        #: Whether its API is served.
        self.open = False
        self.running: Running | None = None

    async def live(self) -> int:
        """Run until it ends or is killed; returns the exit status, as a shell tells it."""
        task = self.world.loop.create_task(self._run(), name=self.name, context=self.context())
        await asyncio.wait([task])
        if self.dead:
            return 137
        status = await task
        self.kill(self.world.loop)
        return status

    async def _run(self) -> int:
        world = self.world
        settings = config(self.service.name, self.name, world.data_dir)
        store, bus = ShakyStore(self), ShakyBus(self)
        relay = Relay(self.service.name, store, bus)
        running = Running(
            self.service,
            config=settings,
            store=store,
            bus=bus,
            clock=world.clock,
            ids=world.ids,
            publish=relay.publish,
        )
        self.running = running
        runner = Runner(self.service, settings, monotonic=world.loop.time, registry=CollectorRegistry())
        return await runner.serve(running, relay, lambda _: _Desk(self))

    @cached_property
    def application(self) -> FastAPI:
        """The API of the service; what it remembers from one request to the next is gone with the process."""
        assert self.running is not None

        async def ready() -> dict[str, str]:
            return {}

        return http.build(self.running, ready)

    async def ask(
        self, door: str, what: str, act: Callable[[], Awaitable[T]], *, writes: bool, away: Callable[[], bool]
    ) -> T:
        """Ask the record or the bus for something; what can go wrong on the way goes wrong here.

        Raises StoreUnavailableError. What has an effect is carried out on the other side, whatever becomes of this
        process meanwhile.
        """
        world, faults = self.world, self.world.faults
        if self.dead:
            raise asyncio.CancelledError
        await world.way(self)
        if writes and world.dice.random() < faults.crash:
            self.die(f"before {what}")
        if writes and world.dice.random() < faults.freeze:
            world.stop(self)
            await asyncio.sleep(0)
        if self.dead:
            raise asyncio.CancelledError
        if away() or world.dice.random() < faults.refused:
            world.trace.tell(self.name, f"is refused {what}")
            raise StoreUnavailableError(f"{door} does not answer")
        if not writes:
            return await act()
        done = world.carry_out(act)
        if world.dice.random() < faults.unknown:
            world.trace.tell(self.name, f"does not learn what became of {what}")
            if world.dice.random() < 0.5:
                await asyncio.wait([done])
            raise StoreUnavailableError(f"{door} did not answer")
        result = await asyncio.shield(done)
        if world.dice.random() < faults.crash:
            self.die(f"after {what}")
        await world.way(self)
        return result

    def die(self, why: str) -> NoReturn:
        """Be killed here and now."""
        self.world.kill(self, why)
        raise asyncio.CancelledError


def present() -> Process:
    """Return the process that is running now."""
    process = owner()
    assert isinstance(process, Process)
    return process


class _Desk:
    """What answers over HTTP, without a socket."""

    def __init__(self, process: Process) -> None:
        self.should_exit = False
        if process.service.routes is not None:
            process.open = True

    async def serve(self) -> None:
        """Stay until told to go; polled as uvicorn does."""
        while not self.should_exit:
            await asyncio.sleep(1.0)


async def request(process: Process, method: str, path: str, body: bytes, key: str) -> tuple[int, bytes]:
    """Send one request to a process and return status and body; runs in the context of the process."""
    headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"idempotency-key", key.encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    sent = False
    status, parts = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await process.application(scope, receive, send)
    return status, b"".join(parts)
