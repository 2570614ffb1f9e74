"""From a commit until a consumer has the event in hand, at a steady rate.

Bare: asyncpg commits a row, nats-py publishes it and fetches it one by one. (More at once would be slower: nats-py's
`fetch` of several waits until it has them all.) Ours: append, relay, `bus.fetch`, the event decoded.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

import asyncpg
import nats
from nats.js.api import ConsumerConfig, StreamConfig

from autopilot.stack.secrets import ADMIN
from contracts.catalogue import registry
from libs.eventstore.outbox import Relay
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.row import seal
from libs.messaging.admin import ensure_topology
from libs.messaging.bus import ConsumerSpec
from libs.messaging.jetstream import JetStreamBus
from libs.messaging.topology import ServiceDeclaration, derive
from loadtest.bench.comparison import Figure, Spent, at_most, cpu_notes, settle
from loadtest.bench.record import BARE_INSERT, SERVICE, Bench, bare_rows, batch
from loadtest.bench.servers import Servers
from loadtest.bench.w8 import percentiles

#: Events a second, of one turn, and turns of each side in a repeat.
RATE, TURN, TURNS = 200, 400, 5
#: Events before the first measurement.
WARM_UP = 100
#: Seconds within which everything of a turn must have arrived.
PATIENCE_S = 60.0


class Times:
    """When each event was committed and when it was in the consumer's hand, by its id."""

    def __init__(self) -> None:
        self._committed: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._moved = asyncio.Event()

    def commit(self, id_: str) -> None:
        """Note that an event was committed just now."""
        self._committed[id_] = time.perf_counter()

    def arrive(self, id_: str) -> None:
        """Note that a consumer has an event; the first time counts."""
        if id_ in self._committed:
            self._seconds.setdefault(id_, time.perf_counter() - self._committed[id_])
            self._moved.set()

    async def take(self) -> list[float]:
        """Wait until all that was committed has arrived, return the seconds of each, and begin anew."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self._seconds) < len(self._committed):
                self._moved.clear()
                await self._moved.wait()
        seconds = list(self._seconds.values())
        self._committed, self._seconds = {}, {}
        return seconds


class Way(Protocol):
    """One side: commits and publishes the n-th event, and notes when each has arrived."""

    times: Times

    def prepare(self, events: int) -> list[Any]:
        """Make events."""
        ...

    async def step(self, prepared: Any) -> None:
        """Commit one and have it published."""
        ...


async def measure(bench: Bench, repeats: int) -> list[Figure]:
    """Compare medians and 99th percentiles."""
    times: list[tuple[tuple[float, float], tuple[float, float]]] = []
    sides: list[tuple[Spent, Spent]] = []
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(way(bench.servers)) for way in (_bare, _ours)]
        for way in ways:
            await _turn(way, way.prepare(WARM_UP))
        for _ in range(repeats):
            spent = [Spent(bench.pids) for _ in ways]
            seconds: list[list[float]] = [[] for _ in ways]
            for number in range(TURNS):
                for side in (0, 1) if number % 2 else (1, 0):
                    prepared = ways[side].prepare(TURN)
                    settle()
                    with spent[side].turn(TURN):
                        seconds[side] += await _turn(ways[side], prepared)
            bare, ours = map(percentiles, seconds)
            times.append((bare, ours))
            sides.append((spent[0], spent[1]))
    notes = {**cpu_notes(sides), "bare events/s": sides[-1][0].rate, "ours events/s": sides[-1][1].rate}
    return [
        at_most(
            f"commit to consumer at {RATE} events/s, {name}",
            "ms",
            bound,
            [(bare[at], ours[at]) for bare, ours in times],
            **notes,
        )
        for at, (name, bound) in enumerate((("p50", 3.0), ("p99", 5.0)))
    ]


async def _turn(way: Way, prepared: list[Any]) -> list[float]:
    """Do steps at the rate and return the seconds of each event.

    What is late is not made up for: a machine that cannot keep the rate would be asked for ever more at once.
    """
    due = time.perf_counter()
    for one in prepared:
        now = time.perf_counter()
        if now < due:
            await asyncio.sleep(due - now)
        due = max(due, now) + 1 / RATE
        await way.step(one)
    return await way.times.take()


class _Bare:
    """asyncpg and nats-py by hand."""

    def __init__(self, database: asyncpg.Connection[asyncpg.Record], jetstream: Any, name: str) -> None:
        self.times = Times()
        self._database, self._jetstream, self._name = database, jetstream, name

    def prepare(self, events: int) -> list[Any]:
        """Make the rows that ours would write."""
        return [row for _ in range(events) for row in bare_rows(seal(_fresh(), registry))]

    async def step(self, prepared: Any) -> None:
        """Insert a row, publish it, wait for the server's word."""
        await self._database.execute(BARE_INSERT, *prepared)
        name = str(prepared[2])
        self.times.commit(name)
        await self._jetstream.publish(f"{self._name}.x", prepared[5].encode(), headers={"id": name})

    async def consume(self, messages: Any) -> None:
        """Fetch for ever."""
        while True:
            with suppress(TimeoutError):
                for message in await messages.fetch(1, timeout=1):
                    self.times.arrive((message.headers or {})["id"])
                    await message.ack()


class _Ours:
    """The record, the relay and the bus."""

    def __init__(self, store: PostgresStore, bus: JetStreamBus, relay: Relay, durable: str) -> None:
        self.times = Times()
        self._store, self._bus, self._relay, self._durable = store, bus, relay, durable

    def prepare(self, events: int) -> list[Any]:
        """Make appends."""
        return [_fresh() for _ in range(events)]

    async def step(self, prepared: Any) -> None:
        """Append, and hand over to the relay."""
        recorded = await self._store.append(prepared)
        self.times.commit(recorded[0].id)
        await self._relay.publish(recorded)

    async def consume(self) -> None:
        """Fetch for ever."""
        while True:
            for delivery in await self._bus.fetch(self._durable, 100, 1.0):
                self.times.arrive(delivery.recorded.id)
                await delivery.ack()


def _fresh() -> Any:
    return batch(uuid.uuid4().int >> 70, 1)


@asynccontextmanager
async def _bare(found: Servers) -> AsyncIterator[Way]:
    name = f"BARE{uuid.uuid4().hex[:8]}"
    database, client = await asyncpg.connect(found.dsn), await nats.connect(found.nats_url)
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"]))
    messages = await jetstream.pull_subscribe(
        f"{name}.>", durable="c", stream=name, config=ConsumerConfig(ack_wait=60)
    )
    way = _Bare(database, jetstream, name)
    async with _beside(lambda: way.consume(messages)):
        yield way
    await jetstream.delete_stream(name)
    await client.close()
    await database.close()


@asynccontextmanager
async def _ours(found: Servers) -> AsyncIterator[Way]:
    durable = f"{SERVICE}-{uuid.uuid4().hex[:8]}"
    consumer = ConsumerSpec(durable=durable, filters=("autopilot.v1.run.>",))
    topology = derive([ServiceDeclaration(name=SERVICE, consumes=(consumer,), publishes=("run",))])
    password = found.nats_password
    await ensure_topology(found.nats_place, ADMIN, password, topology)
    store = await PostgresStore.connect(found.service_dsns[SERVICE], registry)
    bus = await JetStreamBus.connect(
        found.nats_place, user=ADMIN, password=password, registry=registry, service=SERVICE
    )
    relay = Relay(SERVICE, store, bus)
    way = _Ours(store, bus, relay, durable)
    async with _beside(relay.run), _beside(way.consume):
        yield way
    await bus.close()
    await store.close()


@asynccontextmanager
async def _beside(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
