"""What only the twin offers: faults on purpose, and time that stands still."""

from __future__ import annotations

import pytest

from libs.messaging.bus import MAX_ATTEMPTS, BusUnavailableError, Delivery, RefusedError
from libs.messaging.memory import MemoryBus, MemoryServer
from libs.messaging.outcome import Reject, settle
from libs.testing.buscase import ACK_WAIT_S, KEEPER, NOON, TOPOLOGY, notes, take
from libs.testing.clock import ManualClock
from libs.testing.samples import registry


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> MemoryServer:
    return MemoryServer(TOPOLOGY, clock)


@pytest.fixture
def bus(server: MemoryServer) -> MemoryBus:
    return MemoryBus(server, registry, KEEPER.name)


async def test_a_lost_confirmation_withholds_what_follows_in_its_stream(
    server: MemoryServer, bus: MemoryBus
) -> None:
    first, second, third = notes("a", 3)
    (other,) = notes("b", 1)
    server.lose_confirmation = lambda event: event is second
    assert await bus.publish([first, second, other, third]) == [first, other]
    server.lose_confirmation = lambda event: False
    assert await bus.publish([second, third]) == [second, third]
    assert len(server.messages) == 4


async def test_an_id_is_recognised_for_twenty_seconds(
    server: MemoryServer, bus: MemoryBus, clock: ManualClock
) -> None:
    events = notes("a", 1)
    await bus.publish(events)
    clock.advance(19)
    await bus.publish(events)
    assert len(server.messages) == 1
    clock.advance(2)
    await bus.publish(events)
    assert len(server.messages) == 2


async def test_progress_keeps_a_message_in_its_hands(
    server: MemoryServer, bus: MemoryBus, clock: ManualClock
) -> None:
    await bus.publish(notes("a", 1))
    (delivery,) = await take(bus, "keeper-notes", 1)
    clock.advance(ACK_WAIT_S * 0.8)
    await delivery.in_progress()
    clock.advance(ACK_WAIT_S * 0.8)
    assert await bus.fetch("keeper-notes", 1, 0) == []
    clock.advance(ACK_WAIT_S * 0.2)
    assert len(await bus.fetch("keeper-notes", 1, 0)) == 1


async def test_a_message_that_comes_for_ever_is_poison(
    server: MemoryServer, bus: MemoryBus, clock: ManualClock
) -> None:
    await bus.publish(notes("a", 1))
    for _ in range(MAX_ATTEMPTS):
        assert len(await bus.fetch("keeper-notes", 1, 0)) == 1
        clock.advance(ACK_WAIT_S)
    assert await bus.fetch("keeper-notes", 1, 0) == []
    (letter,) = await bus.dead_letters()
    assert letter.reason == f"delivered {MAX_ATTEMPTS + 1} times"
    assert await bus.lag("keeper-notes") == (0, 0)


class Unwritable:
    """A bus that cannot write dead letters."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def dead_letter(self, delivery: Delivery, consumer: str, reason: str, at: object) -> None:
        raise self._error


async def test_a_message_whose_dead_letter_cannot_be_written_stays(
    bus: MemoryBus, clock: ManualClock
) -> None:
    await bus.publish(notes("a", 1))
    (delivery,) = await take(bus, "keeper-notes", 1)
    away = Unwritable(BusUnavailableError("away"))
    await settle(away, delivery, "keeper-notes", Reject("no"), NOON)  # type: ignore[arg-type]
    clock.advance(1)
    (again,) = await take(bus, "keeper-notes", 1)
    assert (again.attempts, again.failures) == (2, 0)


async def test_a_refused_dead_letter_is_told(bus: MemoryBus) -> None:
    await bus.publish(notes("a", 1))
    (delivery,) = await take(bus, "keeper-notes", 1)
    refused = Unwritable(RefusedError(["deadletter.keeper-notes"], "no"))
    with pytest.raises(RefusedError):
        await settle(refused, delivery, "keeper-notes", Reject("no"), NOON)  # type: ignore[arg-type]


async def test_closing_twice_is_once_and_ends_a_waiting_fetch(bus: MemoryBus) -> None:
    await bus.close()
    await bus.close()
    assert await bus.fetch("keeper-notes", 1, 60.0) == []
    assert await bus.publish(notes("a", 1)) == []
    assert not bus.healthy
