"""The in-memory twin passes the cases of the record."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import Cursor, LeaseClaim
from libs.testing.appendcase import Elapse
from libs.testing.clock import ManualClock
from libs.testing.samples import Noted, first, fresh, plain, registry
from libs.testing.storecase import StoreCase, Tamper, place


class TestMemoryStore(StoreCase):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def store(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(registry, clock)

    @pytest.fixture
    def elapse(self, clock: ManualClock) -> Elapse:
        async def elapse(seconds: float) -> None:
            clock.advance(seconds)

        return elapse

    @pytest.fixture
    def tamper(self, store: MemoryStore) -> Tamper:
        async def tamper(stream: str, version: int) -> None:
            at = store._streams[stream][version - 1]
            row = store._rows[at]
            store._rows[at] = msgspec.structs.replace(row, data=row.data.replace(b'"count":', b'"count":1'))

        return tamper


class TestOverlappingMemoryStore(TestMemoryStore):
    """The same, while transactions overlap."""

    @pytest.fixture
    def store(self, clock: ManualClock) -> MemoryStore:
        async def pace() -> None:
            await asyncio.sleep(0)

        return MemoryStore(registry, clock, pace)


class Gates:
    """Holds transactions up at both of their stops, in the order in which they arrive."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Event] = []

    async def pace(self) -> None:
        gate = asyncio.Event()
        self.waiting.append(gate)
        await gate.wait()

    async def arrive(self, count: int) -> None:
        while len(self.waiting) < count:
            await asyncio.sleep(0)


async def began(gates: Gates, store: MemoryStore, count: int) -> list[asyncio.Task[object]]:
    """Begin appends to streams of their own, one after the other; each waits for its positions."""
    tasks: list[asyncio.Task[object]] = []
    for _ in range(count):
        tasks.append(asyncio.create_task(store.append(plain(first(Noted(case_id=fresh()))))))
        await gates.arrive(len(tasks))
    return tasks


async def seen(store: MemoryStore) -> list[tuple[int, int]]:
    return [(at.xid, at.position) for at in map(place, await store.read_all(Cursor()))]


@pytest.fixture
def held() -> tuple[Gates, MemoryStore]:
    gates = Gates()
    return gates, MemoryStore(registry, ManualClock(), gates.pace)


async def test_a_reader_does_not_pass_a_transaction_that_is_open(held: tuple[Gates, MemoryStore]) -> None:
    gates, store = held
    early, late = await began(gates, store, 2)
    gates.waiting[1].set()
    await gates.arrive(3)
    gates.waiting[2].set()
    await late
    assert await seen(store) == []
    gates.waiting[0].set()
    await gates.arrive(4)
    gates.waiting[3].set()
    await early
    # The later number got the earlier position.
    assert await seen(store) == [(1, 2), (2, 1)]


async def test_what_is_undone_leaves_a_gap_and_holds_nobody_up(held: tuple[Gates, MemoryStore]) -> None:
    gates, store = held
    (undone,) = await began(gates, store, 1)
    gates.waiting[0].set()
    await gates.arrive(2)
    undone.cancel()
    await asyncio.gather(undone, return_exceptions=True)
    kept = asyncio.create_task(store.append(plain(first(Noted(case_id=fresh())))))
    for gate in (2, 3):
        await gates.arrive(gate + 1)
        gates.waiting[gate].set()
    await kept
    assert await seen(store) == [(2, 2)]
    assert await store.cursor_of(1) == Cursor()


async def test_a_takeover_waits_for_an_append_under_the_old_epoch(held: tuple[Gates, MemoryStore]) -> None:
    gates, store = held
    lease = await store.acquire("lead", "one", 60)
    assert lease is not None
    append = msgspec.structs.replace(
        plain(first(Noted(case_id=fresh()))), lease=LeaseClaim(name="lead", epoch=lease.epoch)
    )
    under = asyncio.create_task(store.append(append))
    await gates.arrive(1)
    takeover = asyncio.create_task(store.acquire("lead", "two", 60, takeover=True))
    for gate in range(2):
        await gates.arrive(gate + 1)
        assert not takeover.done()
        gates.waiting[gate].set()
    await under
    taken = await takeover
    assert taken is not None
    assert taken.epoch == 2
