"""Section `record`: append, commit to consumer, and replay, each beside the bare client doing the same.

The bare side gets its rows ready-made: columns, JSON and hashes. Ours starts from event objects, so its figures hold
encoding, validation, hash chain, stream heads and outbox as well.
"""

from __future__ import annotations

import asyncio
import resource
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from statistics import median
from typing import Any

import asyncpg
import msgspec
import nats
from nats.js.api import ConsumerConfig, StreamConfig

from autopilot import wiring
from autopilot.stack.secrets import ADMIN
from contracts.catalogue import registry
from contracts.message import Meta, Recorded
from contracts.stage import StageResumed
from libs.eventstore.outbox import Relay
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.row import Sealed, seal
from libs.eventstore.store import Append, Cursor, NewEvent, StreamAppend, StreamHead
from libs.messaging.admin import ensure_topology
from libs.messaging.bus import ConsumerSpec
from libs.messaging.jetstream import JetStreamBus
from libs.messaging.topology import ServiceDeclaration, derive
from loadtest.bench.servers import Servers, servers
from loadtest.bench.w8 import percentiles
from services.stage_runner.domain import run

#: Events of one measurement by batch size.
EVENTS = {1: 1_500, 20: 10_000, 200: 30_000}
#: Writers side by side, as in a service under load.
WRITERS = 32
RATE, RATE_S = 200, 10.0
REPLAYED = 1_000_000
#: Rows that the bare cursor takes at once.
PREFETCH = 5_000
COLUMNS = "xid, stream, category, version, id, type, schema_version, data, meta, prev_hash, hash, recorded_at"
BARE_INSERT = f"insert into bare ({COLUMNS}) values (pg_current_xact_id()::text::bigint, $1, 'run', $2, $3, $4, $5, $6, $7, $8, $9, $10)"  # noqa: S608
META = Meta(
    service="stage-runner", causation_id=str(uuid.UUID(int=1)), correlation_id="t-1", lease="stage-runner-1:1"
)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison: medians of the interleaved repeats, and all of them."""

    what: str
    unit: str
    bare: float
    ours: float
    #: Ours to bare, as the target is put.
    ratio: float
    target: str
    met: bool
    repeats: list[tuple[float, float]]
    notes: dict[str, float] = {}


def event(stream: int) -> NewEvent:
    """Make an event of about 400 bytes with its meta."""
    return NewEvent(
        id=str(uuid.uuid4()),
        event=StageResumed(
            run_id=f"r{stream}",
            task_id=f"t{stream}",
            stage="verify",
            attempt=1,
            replica="stage-runner-1",
            epoch=7,
            reason="the lease of stage-runner-2 lapsed " + "x" * 140,
        ),
        meta=META,
        recorded_at=datetime.now(UTC),
    )


def batch(stream: int, size: int) -> Append:
    """Begin a stream with a batch."""
    head = StreamHead(stream=f"run-r{stream}")
    return Append(
        service="stage-runner",
        streams=(StreamAppend(head=head, events=tuple(event(stream) for _ in range(size))),),
    )


def _bare_rows(sealed: Sealed) -> list[tuple[Any, ...]]:
    return [
        (
            row.stream,
            row.version,
            uuid.UUID(row.id),
            row.type,
            row.schema_version,
            row.data.decode(),
            row.meta.decode(),
            bytes.fromhex(row.prev_hash),
            bytes.fromhex(row.hash),
            row.recorded_at,
        )
        for row in sealed.rows
    ]


class Bench:
    """The servers, a bare connection and our store."""

    def __init__(
        self, found: Servers, bare: asyncpg.Connection[asyncpg.Record], store: PostgresStore
    ) -> None:
        self.servers, self.bare, self.store = found, bare, store
        self._streams = 0

    def batches(self, size: int, count: int) -> list[Append]:
        """Prepare appends to new streams."""
        first = self._streams
        self._streams += count
        return [batch(first + place, size) for place in range(count)]

    async def append(self, size: int, repeats: int) -> Figure:
        """Compare appends one after the other; beside it, ours from many writers at once."""
        pairs, together = [], []
        count = max(EVENTS[size] // size, 1)
        for _ in range(repeats):
            rows = [_bare_rows(seal(one, registry)) for one in self.batches(size, count)]
            bare = await _rate(count * size, self._insert, rows)
            ours = await _rate(count * size, self.store.append, self.batches(size, count))
            pairs.append((bare, ours))
            together.append(await _rate_together(count * size, self.store, self.batches(size, count)))
        return _higher(
            f"append, {size} a batch", "events/s", pairs, 0.6, {f"ours, {WRITERS} writers": median(together)}
        )

    async def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        if len(rows) == 1:
            await self.bare.execute(BARE_INSERT, *rows[0])
        else:
            await self.bare.executemany(BARE_INSERT, rows)

    async def replay(self, repeats: int) -> Figure:
        """Compare reading the whole record, ours decoded and folded."""
        last = await self.bare.fetchval("select count(*) from events")
        if last < REPLAYED:
            await self.bare.execute(_FILL, last, REPLAYED)
        await self.bare.execute("vacuum (analyze) events")
        pairs, peaks = [], []
        for _ in range(repeats):
            bare = await _timed(self._scan)
            before = _peak_mib()
            ours = await _timed(self._fold)
            pairs.append((bare, ours))
            peaks.append(_peak_mib() - before)
        return _higher(
            f"replay of {REPLAYED:,} events",
            "events/s",
            pairs,
            0.5,
            {"peak memory, MiB": _peak_mib(), "growth while folding, MiB": max(peaks)},
        )

    async def _scan(self) -> int:
        seen = 0
        async with self.bare.transaction():
            query = f"select position, {COLUMNS} from events order by xid, position"  # noqa: S608
            async for _ in self.bare.cursor(query, prefetch=PREFETCH):
                seen += 1
        return seen

    async def _fold(self) -> int:
        seen, after = 0, Cursor()
        # Of each stream its aggregate; a stream that has ended is forgotten, so memory does not grow with the record.
        states: dict[str, Any] = {}
        while page := await self.store.read_all(after, limit=PREFETCH):
            for one in page:
                state = run.evolve(states.get(one.stream, run.initial), one.event)
                if len(states) > PREFETCH:
                    states.clear()
                states[one.stream] = state
            seen += len(page)
            after = Cursor(xid=page[-1].xid, position=page[-1].position)
        return seen


#: Fills the record with streams of 25 events; only reading is measured, so the hashes need not be true.
_FILL = f"""
insert into events ({COLUMNS})
select
    pg_current_xact_id()::text::bigint, 'run-f' || n / 25, 'run', n % 25 + 1, gen_random_uuid(), 'stage_resumed', 1,
    jsonb_build_object(
        'type', 'stage_resumed', 'run_id', 'f' || n / 25, 'task_id', 't' || n / 25, 'stage', 'verify', 'attempt', 1,
        'replica', 'stage-runner-1', 'epoch', 7, 'reason', 'the lease lapsed ' || repeat('x', 140)
    ),
    jsonb_build_object('service', 'stage-runner', 'correlation_id', 't' || n / 25, 'lease', 'stage-runner-1:1'),
    decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 32), 'hex'), clock_timestamp()
from generate_series($1::bigint, $2::bigint - 1) as n
"""  # noqa: S608


async def latency(found: Servers, repeats: int) -> list[Figure]:
    """Compare the time from a commit until a consumer has the event in hand, at a steady rate."""
    pairs = []
    for _ in range(repeats):
        pairs.append((percentiles(await _bare_latency(found)), percentiles(await _our_latency(found))))
    return [
        _lower(
            f"commit to consumer at {RATE} events/s, {name}",
            [(bare[at], ours[at]) for bare, ours in pairs],
            times,
        )
        for at, (name, times) in enumerate((("p50", 3.0), ("p99", 5.0)))
    ]


async def _paced(step: Callable[[int], Awaitable[None]]) -> None:
    """Call a step at the rate, however long the ones before have taken."""
    began = time.perf_counter()
    for place in range(int(RATE * RATE_S)):
        await asyncio.sleep(max(began + place / RATE - time.perf_counter(), 0))
        await step(place)


async def _bare_latency(found: Servers) -> list[float]:
    database = await asyncpg.connect(found.dsn)
    client = await nats.connect(found.nats_url)
    name = f"BARE{uuid.uuid4().hex[:8]}"
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"]))
    messages = await jetstream.pull_subscribe(
        f"{name}.>", durable="c", stream=name, config=ConsumerConfig(ack_wait=60)
    )
    committed: dict[int, float] = {}
    seconds: list[float] = []
    (rows,) = [_bare_rows(seal(batch(10**9, int(RATE * RATE_S)), registry))]
    rows = [(f"{name}-{place}", 1, uuid.uuid4(), *row[3:]) for place, row in enumerate(rows)]

    async def consume() -> None:
        while len(seconds) < len(rows):
            with suppress(TimeoutError):
                for message in await messages.fetch(100, timeout=1):
                    seconds.append(time.perf_counter() - committed[int((message.headers or {})["place"])])
                    await message.ack()

    async def step(place: int) -> None:
        await database.execute(BARE_INSERT, *rows[place])
        committed[place] = time.perf_counter()
        await jetstream.publish(f"{name}.x", rows[place][5].encode(), headers={"place": str(place)})

    consuming = asyncio.create_task(consume())
    await _paced(step)
    await consuming
    await jetstream.delete_stream(name)
    await client.close()
    await database.close()
    return seconds


async def _our_latency(found: Servers) -> list[float]:
    name = f"stage-runner-{uuid.uuid4().hex[:8]}"
    consumer = ConsumerSpec(durable=name, filters=("autopilot.v1.run.>",))
    topology = derive([ServiceDeclaration(name="stage-runner", consumes=(consumer,), publishes=("run",))])
    user, _, rest = found.nats_url.removeprefix("nats://").partition(":")
    password, _, place = rest.partition("@")
    url = f"nats://{place}"
    await ensure_topology(url, ADMIN, password, topology)
    store = await PostgresStore.connect(found.dsn, registry)
    bus = await JetStreamBus.connect(
        url, user=user, password=password, registry=registry, service="stage-runner"
    )
    relay = Relay("stage-runner", store, bus)
    relaying = asyncio.create_task(relay.run())
    while await bus.fetch(name, 500, 0.2):
        # A new durable begins with what is there.
        pass
    committed: dict[str, float] = {}
    seconds: list[float] = []
    appends = [batch(uuid.uuid4().int >> 70, 1) for _ in range(int(RATE * RATE_S))]
    ids = {one.streams[0].events[0].id for one in appends}

    async def consume() -> None:
        while len(seconds) < len(appends):
            for delivery in await bus.fetch(name, 100, 1.0):
                if delivery.recorded.id in ids:
                    seconds.append(time.perf_counter() - committed[delivery.recorded.id])
                await delivery.ack()

    async def step(place: int) -> None:
        recorded: tuple[Recorded, ...] = await store.append(appends[place])
        committed[recorded[0].id] = time.perf_counter()
        await relay.publish(recorded)

    consuming = asyncio.create_task(consume())
    await _paced(step)
    await consuming
    relaying.cancel()
    await bus.close()
    await store.close()
    return seconds


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Start the servers with our schema, and a table beside it like that of the events."""
    async with servers() as found:
        await wiring.migrate(found.dsn)
        bare = await asyncpg.connect(found.dsn)
        await bare.execute("create table bare (like events including all)")
        store = await PostgresStore.connect(found.dsn, registry)
        try:
            yield Bench(found, bare, store)
        finally:
            await store.close()
            await bare.close()


async def measure(repeats: int, parts: set[str]) -> list[Figure]:
    """Measure the section."""
    figures: list[Figure] = []
    async with bench() as made:
        if "append" in parts:
            figures += [await made.append(size, repeats) for size in EVENTS]
        # What the appends have left for a relay would go through the bus in the middle of the next measurement.
        await made.bare.execute("delete from outbox")
        if "latency" in parts:
            figures += await latency(made.servers, repeats)
        if "replay" in parts:
            figures.append(await made.replay(repeats))
    return figures


async def _rate(events: int, act: Callable[[Any], Awaitable[Any]], prepared: list[Any]) -> float:
    began = time.perf_counter()
    for one in prepared:
        await act(one)
    return events / (time.perf_counter() - began)


async def _rate_together(events: int, store: PostgresStore, prepared: list[Append]) -> float:
    waiting = iter(prepared)

    async def write() -> None:
        for one in waiting:
            await store.append(one)

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return events / (time.perf_counter() - began)


async def _timed(act: Callable[[], Awaitable[int]]) -> float:
    began = time.perf_counter()
    seen = await act()
    return seen / (time.perf_counter() - began)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _higher(
    what: str, unit: str, pairs: list[tuple[float, float]], at_least: float, notes: dict[str, float]
) -> Figure:
    ratio = median(ours / bare for bare, ours in pairs)
    bare, ours = (median(one) for one in zip(*pairs, strict=True))
    return Figure(
        what=what,
        unit=unit,
        bare=bare,
        ours=ours,
        ratio=ratio,
        target=f"at least {at_least:g}",
        met=ratio >= at_least,
        repeats=pairs,
        notes=notes,
    )


def _lower(what: str, pairs: list[tuple[float, float]], at_most: float) -> Figure:
    ratio = median(ours / bare for bare, ours in pairs)
    bare, ours = (median(one) for one in zip(*pairs, strict=True))
    return Figure(
        what=what,
        unit="ms",
        bare=bare,
        ours=ours,
        ratio=ratio,
        target=f"at most {at_most:g}",
        met=ratio <= at_most,
        repeats=pairs,
    )
