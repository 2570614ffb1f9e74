"""Timers come back when they are due, once, and a failing one does not stop the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from libs.eventstore.store import Append, ConflictError
from libs.runtime.running import NotLeaderError
from libs.runtime.timekeeping import Timekeeping
from libs.runtime.work import Work
from tests.unit.runtime.house import Add, House, cases


class Alarm:
    """A timer handler that writes down what it was called with, and fails on request."""

    def __init__(self) -> None:
        self.rang: list[str] = []
        self.broken: set[str] = set()
        self.again: list[float] = []

    async def __call__(self, subject: str, work: Work) -> None:
        if subject in self.broken:
            raise RuntimeError("no luck")
        self.rang.append(subject)
        await work.decide(cases, subject, Add(case_id=subject, text="rang"))
        if self.again:
            work.set_timer(f"k-{subject}", work.now + timedelta(seconds=self.again.pop()), "ring", subject)


@pytest.fixture
def alarm() -> Alarm:
    return Alarm()


@pytest.fixture
async def house(alarm: Alarm) -> House:
    made = House(timers={"ring": alarm})
    await made.lead()
    return made


async def wake(house: House, subject: str, seconds: float, kind: str = "ring") -> None:
    """Set a timer."""

    async def act(work: Work) -> None:
        work.set_timer(f"k-{subject}", work.now + timedelta(seconds=seconds), kind, subject)

    await house.running.perform(act)


async def pass_time(house: House, seconds: float, keeping: Timekeeping | None = None) -> None:
    """Let time pass and deliver what is due."""
    house.clock.advance(seconds)
    await (keeping or Timekeeping(house.running)).step()


async def test_a_timer_rings_when_it_is_due_and_once(house: House, alarm: Alarm) -> None:
    await wake(house, "a", 5)
    await pass_time(house, 4.9)
    assert alarm.rang == []
    await pass_time(house, 0.1)
    await pass_time(house, 100)
    assert alarm.rang == ["a"]
    assert await house.texts("a") == ["rang"]


async def test_timers_ring_in_the_order_in_which_they_are_due(house: House, alarm: Alarm) -> None:
    for subject, seconds in (("late", 9.0), ("early", 1.0), ("middle", 5.0)):
        await wake(house, subject, seconds)
    await pass_time(house, 10)
    assert alarm.rang == ["early", "middle", "late"]


async def test_setting_it_again_replaces_it(house: House, alarm: Alarm) -> None:
    await wake(house, "a", 1)
    await wake(house, "a", 50)
    await pass_time(house, 10)
    assert alarm.rang == []
    await pass_time(house, 40)
    assert alarm.rang == ["a"]


async def test_a_handler_may_set_its_own_timer_again(house: House, alarm: Alarm) -> None:
    alarm.again = [5.0]
    await wake(house, "a", 1)
    await pass_time(house, 1)
    await pass_time(house, 5)
    await pass_time(house, 50)
    assert alarm.rang == ["a", "a"]


async def test_a_failing_timer_is_tried_again_and_does_not_hold_up_the_others(
    house: House, alarm: Alarm
) -> None:
    alarm.broken = {"a"}
    await wake(house, "a", 1)
    await wake(house, "b", 2)
    keeping = Timekeeping(house.running)
    await pass_time(house, 5, keeping)
    assert alarm.rang == ["b"]
    alarm.broken.clear()
    await pass_time(house, 100, keeping)
    assert alarm.rang == ["b", "a"]
    assert await house.texts("a") == ["rang"]


async def test_a_timer_of_no_known_kind_is_forgotten(house: House) -> None:
    await wake(house, "a", 1, kind="from another release")
    await pass_time(house, 5)
    assert await house.store.next_timer("keeper") is None


async def test_only_the_leader_delivers(house: House, alarm: Alarm) -> None:
    await wake(house, "a", 1)
    house.running.stand_down()
    with pytest.raises(NotLeaderError):
        await pass_time(house, 5)
    await house.lead()
    await pass_time(house, 1)
    assert alarm.rang == ["a"]


async def test_a_timer_that_was_set_wakes_the_keeper(house: House) -> None:
    woken: list[Any] = []
    house.running.on_timer = woken.append
    await house.running.perform(lambda work: work.decide(cases, "x", Add(case_id="x", text="one")))
    assert woken == []
    await wake(house, "a", 1)
    assert woken == [house.clock.now() + timedelta(seconds=1)]


async def test_what_is_due_together_is_one_append_and_one_by_one_where_that_fails(
    house: House, alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, sizes = house.store.append, []

    async def refusing(wanted: Append) -> Any:
        sizes.append(len(wanted.clear_timers))
        if len(wanted.clear_timers) == 3:
            raise ConflictError("case-b", 0)
        return await append(wanted)

    monkeypatch.setattr(house.store, "append", refusing)
    for subject in "abc":
        await wake(house, subject, 5)
    sizes.clear()
    await pass_time(house, 6)
    assert sizes == [3, 1, 1, 1]
    for subject in "ab":
        await wake(house, subject, 5)
    sizes.clear()
    await pass_time(house, 6)
    assert sizes == [2]
    assert [await house.texts(subject) for subject in "abc"] == [["rang"]] * 3
    assert await house.store.next_timer("keeper") is None
