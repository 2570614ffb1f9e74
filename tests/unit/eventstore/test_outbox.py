"""The relay: everything committed is published, in order, whatever the bus does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from contracts.message import Recorded
from libs.eventstore import outbox
from libs.eventstore.memory import MemoryStore
from libs.eventstore.outbox import Relay
from libs.eventstore.store import Append, StoreUnavailableError, StreamHead
from libs.messaging import cloudevents
from libs.messaging.bus import BusUnavailableError, RefusedError
from libs.testing.clock import ManualClock
from libs.testing.samples import Noted, behind, registry


class ListBus:
    """Publishes into a list, confirms as far as it is told to."""

    def __init__(self) -> None:
        self.published: list[Recorded] = []
        self.batches: list[int] = []
        self.refused_stream = ""
        #: How many events it confirms before it is down; None for all.
        self.capacity: int | None = None

    async def publish(self, events: Sequence[Recorded]) -> list[Recorded]:
        await asyncio.sleep(0)
        self.batches.append(len(events))
        if self.capacity == 0:
            raise BusUnavailableError("down")
        confirmed = [event for event in events if event.stream != self.refused_stream][: self.capacity]
        self.published += map(arrived, confirmed)
        if self.capacity is not None:
            self.capacity -= len(confirmed)
        if any(event.stream == self.refused_stream for event in events):
            raise RefusedError([self.refused_stream], "permissions", confirmed)
        return confirmed


def arrived(event: Recorded) -> Recorded:
    """What a consumer makes of an event that is passed on as it was written."""
    message = cloudevents.encode(event)
    return cloudevents.decode(registry, message.headers, message.payload)


class ForgetfulStore(MemoryStore):
    """Cannot be reached when outbox rows are to be deleted."""

    async def published(self, positions: Sequence[int]) -> None:
        raise StoreUnavailableError("gone")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(registry, clock)


@pytest.fixture
def bus() -> ListBus:
    return ListBus()


@pytest.fixture
def relay(store: MemoryStore, bus: ListBus) -> Relay:
    return Relay("tester", store, bus, back_off_s=0.0)


async def commit(store: MemoryStore, key: str, count: int) -> tuple[Recorded, ...]:
    heads = [head for head in await store.heads("case") if head.stream == f"case-{key}"]
    head = heads[0] if heads else StreamHead(stream=f"case-{key}")
    events = (Noted(case_id=key, count=n) for n in range(count))
    return await store.append(Append(service="tester", streams=(behind(head, *events),)))


async def pending(store: MemoryStore) -> list[Recorded]:
    return [*map(arrived, await store.pending_outbox("tester", older_than_s=0))]


async def test_committed_events_are_published_in_order_and_forgotten(
    store: MemoryStore, bus: ListBus, relay: Relay
) -> None:
    recorded: list[Recorded] = []
    for key in ("a", "b", "a"):
        news = await commit(store, key, 2)
        recorded += news
        await relay.publish(news)
    assert bus.published == []
    await relay.flush()
    assert bus.published == recorded
    assert bus.batches == [6]
    assert await pending(store) == []


async def test_run_publishes_without_being_asked(store: MemoryStore, bus: ListBus, relay: Relay) -> None:
    running = asyncio.create_task(relay.run())
    recorded = await commit(store, "a", 3)
    await relay.publish(recorded)
    async with asyncio.timeout(60):
        while await pending(store):
            await asyncio.sleep(0.01)
    # The sweep at the start may have found them too.
    assert bus.published[:3] == list(recorded)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_confirmed_rows_are_forgotten_while_more_keep_coming(
    store: MemoryStore, bus: ListBus, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise they would grow old, count as left behind and be published again.
    monkeypatch.setattr(outbox, "LINGER_S", 0.01)
    monkeypatch.setattr(outbox, "FORGET_BATCH", 10**9)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(relay.run())
        async with asyncio.timeout(60):
            # What the sweep at the start finds, it deletes by itself.
            while not await store.leases():
                await relay.publish(await commit(store, "first", 1))
                await asyncio.sleep(0)
            appended = 0
            while len(await pending(store)) >= appended:
                appended += 1
                await relay.publish(await commit(store, str(appended), 1))
                await asyncio.sleep(0)
        running.cancel()


async def test_what_the_bus_does_not_confirm_waits_for_the_sweep(
    store: MemoryStore, bus: ListBus, relay: Relay, clock: ManualClock
) -> None:
    recorded = await commit(store, "a", 5)
    bus.capacity = 2
    await relay.publish(recorded)
    await relay.flush()
    assert await pending(store) == list(recorded[2:])
    assert relay.queued == 0
    bus.capacity = None
    # Younger than half a second: its appender may be publishing it at this moment.
    assert await relay.sweep() == 0
    clock.advance(0.6)
    assert await relay.sweep() == 3
    assert bus.published == list(recorded)
    assert await pending(store) == []


async def test_nothing_overtakes_what_failed(
    store: MemoryStore, bus: ListBus, relay: Relay, clock: ManualClock
) -> None:
    first, second = await commit(store, "a", 2), await commit(store, "a", 2)
    bus.capacity = 1
    await relay.publish(first)
    await relay.publish(second)
    await relay.flush()
    bus.capacity = None
    clock.advance(1)
    await relay.sweep()
    assert bus.published == [*first, *second]


async def test_bus_that_is_down_is_left_alone_for_a_while(store: MemoryStore, bus: ListBus) -> None:
    relay = Relay("tester", store, bus, back_off_s=60.0)
    bus.capacity = 0
    for _ in range(3):
        await relay.publish(await commit(store, "a", 1))
        await relay.flush()
        assert await relay.sweep() == 0
    assert bus.batches == [1]
    assert relay.queued == 0
    assert len(await pending(store)) == 3


async def test_memory_is_bounded(store: MemoryStore, bus: ListBus, clock: ManualClock) -> None:
    relay = Relay("tester", store, bus, queue_limit=4)
    recorded = [event for _ in range(3) for event in await commit(store, "a", 2)]
    for at in (0, 2, 4):
        await relay.publish(recorded[at : at + 2])
    assert relay.queued == 4
    await relay.flush()
    clock.advance(1)
    assert await relay.sweep() == 2
    assert bus.published == recorded


async def test_only_one_process_sweeps(
    store: MemoryStore, bus: ListBus, relay: Relay, clock: ManualClock
) -> None:
    other = Relay("tester", store, bus, back_off_s=0.0)
    await commit(store, "a", 1)
    clock.advance(1)
    assert await relay.sweep() == 1
    await commit(store, "b", 1)
    clock.advance(1)
    assert await other.sweep() == 0
    # The leader is gone, and its lease lapses.
    clock.advance(10)
    assert await other.sweep() == 1
    await commit(store, "c", 1)
    clock.advance(1)
    assert await relay.sweep() == 0
    assert [lease.name for lease in await store.leases()] == ["relay-tester"]


async def test_a_process_started_again_publishes_at_once_what_the_killed_one_left(
    store: MemoryStore, bus: ListBus, clock: ManualClock
) -> None:
    killed = Relay("tester", store, bus, holder="tester-1")
    await commit(store, "a", 1)
    clock.advance(1)
    assert await killed.sweep() == 1
    left = await commit(store, "b", 2)
    # No time passes: neither have the rows grown old nor has the killed one's lease lapsed.
    running = asyncio.create_task(Relay("tester", store, bus, holder="tester-1").run())
    async with asyncio.timeout(60):
        while await pending(store):
            await asyncio.sleep(0.01)
    assert bus.published[1:] == list(left)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_refused_event_stays_and_others_go_on(
    store: MemoryStore, bus: ListBus, relay: Relay, clock: ManualClock
) -> None:
    bus.refused_stream = "case-a"
    refused, fine = await commit(store, "a", 1), await commit(store, "b", 1)
    await relay.publish([*refused, *fine])
    await relay.flush()
    assert bus.published == list(fine)
    clock.advance(1)
    assert await relay.sweep() == 0
    assert await pending(store) == list(refused)


async def test_lost_deletion_is_a_repeated_publication(bus: ListBus, clock: ManualClock) -> None:
    store = ForgetfulStore(registry, clock)
    relay = Relay("tester", store, bus)
    recorded = await commit(store, "a", 1)
    await relay.publish(recorded)
    await relay.flush()
    assert bus.published == list(recorded)
    assert await pending(store) == list(recorded)
