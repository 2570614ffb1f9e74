"""Looking at aggregates: what is recorded is shown, and neither who looks nor who decides waits for the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.runtime.running import NotLeaderError
from libs.runtime.snapshots import FIRST_PAGE
from tests.unit.runtime.house import House, cases
from tests.unit.runtime.test_work import adding


@pytest.fixture
async def house() -> House:
    made = House(one_at_a_time=True)
    await made.lead()
    return made


def reads_of(house: House) -> list[Any]:
    """List what is read of the record from now on."""
    seen: list[Any] = []
    one = house.store.read_stream

    async def read_stream(stream: str, *given: Any, **options: Any) -> Any:
        seen.append(stream)
        return await one(stream, *given, **options)

    async def read_streams(streams: Any, *, upto: int) -> Any:
        seen.append(list(streams))
        return [event for stream in streams for event in await one(stream, upto=upto)]

    house.store.read_stream = read_stream  # type: ignore[method-assign]
    house.store.read_streams = read_streams  # type: ignore[method-assign]
    return seen


async def test_several_are_shown_in_the_order_of_their_keys_and_what_is_known_is_not_read(
    house: House,
) -> None:
    await house.running.perform(adding("one", case_id="a"))
    other = await house.lead(house.process("keeper-2"))
    await other.perform(adding("two", case_id="b"))
    seen = reads_of(house)
    found = await other.look(cases, ["b", "nowhere", "a", "b"])
    assert [state.texts for state in found] == [("two",), (), ("one",), ("two",)]
    assert seen == [["case-nowhere", "case-a"]]


async def test_long_streams_among_many_are_shown_whole(house: House) -> None:
    texts = [str(number) for number in range(FIRST_PAGE + 50)]
    for place in range(0, len(texts), 125):
        await house.running.perform(adding(*texts[place : place + 125], case_id="long"))
    for number in range(60):
        await house.running.perform(adding("x", case_id=f"c{number}"))
    other = await house.lead(house.process("keeper-2"))
    found = await other.look(cases, [*(f"c{number}" for number in range(60)), "long"])
    assert [state.texts for state in found] == [("x",)] * 60 + [tuple(texts)]


async def test_who_looks_waits_for_nobody_who_decides(house: House) -> None:
    await house.running.perform(adding("one", case_id="a"))
    held = asyncio.Event()

    async def slow(work: Any) -> None:
        await adding("two", case_id="a")(work)
        await held.wait()

    deciding = asyncio.create_task(house.running.perform(slow))
    await asyncio.sleep(0)
    assert (await house.running.recall(cases, "a")).texts == ("one",), "what is not recorded is not shown"
    assert [state.texts for state in await house.running.look(cases, ["a", "b"])] == [("one",), ()]
    held.set()
    await deciding
    assert (await house.running.recall(cases, "a")).texts == ("one", "two")


async def test_what_was_read_in_a_turn_is_known_afterwards(house: House) -> None:
    await house.running.perform(adding("one", case_id="a"))
    other = await house.lead(house.process("keeper-2"))
    seen = reads_of(house)
    answers = await asyncio.gather(*(other.recall(cases, "a") for _ in range(20)))
    assert {state.texts for state in answers} == {("one",)}
    assert seen == ["case-a"]


async def test_a_look_is_not_kept(house: House) -> None:
    """Somebody may decide while it is read: what comes back late is of before."""
    await house.running.perform(adding("one", case_id="a"))
    other = await house.lead(house.process("keeper-2"))
    await other.look(cases, ["a"])
    seen = reads_of(house)
    await other.look(cases, ["a"])
    assert seen == [["case-a"]]


async def test_a_standby_shows_nothing(house: House) -> None:
    house.running.stand_down()
    with pytest.raises(NotLeaderError):
        await house.running.recall(cases, "a")
    with pytest.raises(NotLeaderError):
        await house.running.look(cases, ["a"])
