"""What a process does first: it goes on with what its predecessor had in hand."""

from __future__ import annotations

import pytest

from libs.messaging.outcome import Reject
from libs.runtime.consumption import Consumption
from libs.runtime.service import Consumer
from tests.unit.runtime.house import House
from tests.unit.runtime.test_consumption import Listener, asides, house_with, rounds


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def house(listener: Listener) -> House:
    """A house whose first process was given three messages and died with them in hand."""
    made = house_with(listener)
    await made.lead()
    await made.news(*asides("x", 2), *asides("y"))
    assert len(await made.running.bus.fetch("keeper-hear", 10, 0.0)) == 3
    await made.lead()
    return made


async def test_what_a_predecessor_had_in_hand_is_handled_without_waiting_for_the_bus(
    house: House, listener: Listener
) -> None:
    assert await house.consumption().step(0.0) == 0
    assert await house.consumption().catch_up() == 3
    assert sorted(listener.heard) == ["x.1", "x.2", "y.1"]


async def test_it_takes_effect_once_though_the_bus_brings_it_later(house: House, listener: Listener) -> None:
    await house.consumption().catch_up()
    await rounds(house, 3)
    assert sorted(listener.heard) == ["x.1", "x.2", "y.1"]
    assert house.server.lag("keeper-hear") == (0, 0)


async def test_what_never_reached_the_bus_is_handled_too(house: House, listener: Listener) -> None:
    await house.news(*asides("z"), publish=lambda _: False)
    assert await house.consumption().catch_up() == 4
    assert "z.1" in listener.heard


async def test_what_was_handled_before_is_not_read_again(house: House, listener: Listener) -> None:
    await house.consumption().catch_up()
    assert await house.consumption().catch_up() == 0
    assert len(listener.heard) == 3


async def test_a_failure_is_left_to_the_bus_which_counts_it(house: House, listener: Listener) -> None:
    listener.trouble["x.1"] = RuntimeError("no luck")
    listener.trouble["y.1"] = Reject(reason="makes no sense")
    await house.consumption().catch_up()
    assert (listener.heard, house.server.letters) == ([], {})
    listener.trouble.pop("x.1")
    await rounds(house, 2)
    assert listener.heard == ["x.1", "x.2"]
    (letter,) = house.server.letters.values()
    assert letter.reason == "makes no sense"


async def test_no_more_is_taken_than_there_is_room_for(house: House, listener: Listener) -> None:
    consumer = Consumer(house.service.consumes[0].handler, room=lambda _: 1)
    assert await Consumption(house.running, consumer).catch_up() == 1
    assert listener.heard == ["x.1"]


async def test_it_is_the_first_thing_that_a_process_does(house: House, listener: Listener) -> None:
    class Enough(Exception):
        pass

    async def stop(*_: object) -> None:
        raise Enough

    house.running.bus.fetch = stop  # type: ignore[assignment, method-assign]
    with pytest.raises(Enough):
        await house.consumption().run()
    assert len(listener.heard) == 3
