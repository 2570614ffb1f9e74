"""Who may run: the limit of slots, priorities, dependencies and the watch over a published change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.message import Recorded
from contracts.task import StageRequested
from libs.testing.invariants import breaches
from libs.testing.world import World
from services.scheduler.domain.admission import Hold, Release
from services.scheduler.domain.commands import Cancel, Retry
from services.scheduler.handlers.settling import command
from services.scheduler.handlers.wishes import operate
from tests.system.twin import Answer, Script, honest
from tests.system.walking import end, facts_of, limit, sound, state_of, submit

Acted = Callable[[Script], Awaitable[World]]


def most_at_once(events: list[Recorded]) -> int:
    """Count how many tasks held a slot at once, at most."""
    held = most = 0
    for event in events:
        held += {"slot_granted": 1, "slot_released": -1}.get(event.type, 0)
        most = max(most, held)
    return most


def granted(events: list[Recorded]) -> list[str]:
    """List tasks in the order in which they got a slot."""
    found: list[Any] = [event.event for event in events if event.type == "slot_granted"]
    return [grant.task_id for grant in found]


async def test_of_twenty_five_tasks_ten_run_at_once(make: Any) -> None:
    world = await make()
    for number in range(25):
        await submit(world, f"t{number}")
    await world.settle()
    events = await sound(world)
    assert most_at_once(events) == 10
    assert {end(events, f"t{number}") for number in range(25)} == {"task_done"}


async def test_the_limit_can_be_lowered_and_raised_while_tasks_run(acted: Acted) -> None:
    going: set[str] = set()

    def script(request: StageRequested) -> Answer:
        return honest(request) if request.task_id in going else None

    world = await acted(script)
    for number in range(8):
        await submit(world, f"t{number}")
    await limit(world, 3)  # eight run: none is thrown out, none starts before fewer than three do
    await world.settle()
    going |= {f"t{number}" for number in range(6)}
    await submit(world, "t8")
    await world.settle()
    assert granted(await world.events())[-1] == "t8"
    await limit(world, 1)
    going.add("t6")
    await submit(world, "t9")
    await world.settle()
    assert (await state_of(world, "t9")).phase == "queued"
    await limit(world, 5)
    going |= {"t7", "t8", "t9"}
    await world.settle()
    events = await sound(world)
    assert {end(events, f"t{number}") for number in range(10)} == {"task_done"}


async def test_urgent_comes_before_normal_before_low_and_first_come_first_served(make: Any) -> None:
    world = await make()
    await limit(world, 1)
    await submit(world, "first")
    for name, priority in (
        ("l1", "low"),
        ("n1", "normal"),
        ("u1", "urgent"),
        ("n2", "normal"),
        ("u2", "urgent"),
    ):
        await submit(world, name, priority=priority)
    await world.settle()
    assert granted(await sound(world)) == ["first", "u1", "u2", "n1", "n2", "l1"]


async def test_a_task_waits_for_what_it_depends_on(acted: Acted) -> None:
    going: set[str] = set()
    world = await acted(lambda request: honest(request) if request.task_id in going else None)
    await submit(world, "t1")
    await submit(world, "t2", depends_on=["t1"])
    await submit(world, "t3", depends_on=["t1", "t2"])
    await world.settle()
    assert granted(await world.events()) == ["t1"]
    going |= {"t1", "t2", "t3"}
    await world.settle()
    events = await sound(world)
    assert granted(events) == ["t1", "t2", "t3"]
    assert {end(events, name) for name in ("t1", "t2", "t3")} == {"task_done"}


async def test_a_dependent_starts_when_the_change_it_needs_is_being_watched(make: Any) -> None:
    world = await make()
    await submit(world, "t1", repos=[{"name": "one", "url": "nowhere", "monitor": {"window_s": 1000}}])
    await submit(world, "t2", depends_on=["t1"])
    await world.settle()
    events = await sound(world)
    assert end(events, "t1") == "monitor_wait_started"
    assert end(events, "t2") == "task_done"


async def test_a_dependent_builds_on_the_pull_request_of_what_it_depends_on(acted: Acted) -> None:
    seen: dict[str, Any] = {}

    def script(request: StageRequested) -> Answer:
        seen[request.task_id] = request.input.bases
        return honest(request)

    world = await acted(script)
    repo = {"name": "r", "url": "/somewhere/r.git"}
    await submit(world, "t1", repos=[repo])
    await submit(world, "t2", repos=[repo], depends_on=["t1"])
    await submit(world, "t3", repos=[{"name": "other", "url": "/elsewhere"}], depends_on=["t1"])
    await world.settle()
    await sound(world)
    assert [(base.task_id, base.branch, base.commit) for base in seen["t2"]] == [
        ("t1", "autopilot/t1", "c" * 40)
    ]
    assert seen["t1"] == seen["t3"] == ()


async def test_a_broken_dependency_parks_its_dependents_until_it_is_retried(make: Any) -> None:
    world = await make()
    await submit(world, "t1", body="fail implement 4")
    await submit(world, "t2", depends_on=["t1"])
    await world.settle()
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_given_up", "task_parked")
    (parked,) = facts_of(events, "t2", "task_parked")
    assert "t1" in parked.reason
    assert "autopilot retry t1" in parked.wake_up
    await world.perform("scheduler", _retry("t1"))
    await world.settle()
    events = await sound(world)
    assert end(events, "t1") == end(events, "t2") == "task_done"


async def test_a_task_that_depends_on_what_has_already_failed_is_not_forgotten(make: Any) -> None:
    world = await make()
    await submit(world, "t1", body="fail implement 4")
    await world.settle()
    await submit(world, "t2", depends_on=["t1"])
    await world.settle()
    events = await sound(world)
    assert end(events, "t2") == "task_parked"
    await world.perform("scheduler", _retry("t1"))
    await world.settle()
    assert end(await sound(world), "t2") == "task_done"


async def test_a_cancelled_dependency_parks_its_dependents(acted: Acted) -> None:
    world = await acted(lambda request: None if request.task_id == "t1" else honest(request))
    await submit(world, "t1")
    await submit(world, "t2", depends_on=["t1"])
    await world.settle()
    await world.perform("scheduler", _told("t1", Cancel(actor="somebody", reason="")))
    await world.settle()
    events = await sound(world)
    assert end(events, "t2") == "task_parked"
    await world.perform("scheduler", _told("t2", Cancel(actor="somebody", reason="")))
    await world.settle()
    assert end(await sound(world), "t2") == "task_cancelled"


async def test_what_was_there_and_is_lost_before_its_dependent_starts_is_waited_for_again(make: Any) -> None:
    world = await make()
    await submit(world, "t1", repos=[{"name": "one", "url": "nowhere", "monitor": {"window_s": 1000}}])
    await world.settle()
    await world.perform("scheduler", lambda work: operate(work, Hold(cause="drain")))
    await submit(world, "t2", depends_on=["t1"])
    await world.perform("scheduler", _told("t1", Cancel(actor="somebody", reason="")))
    await world.perform("scheduler", lambda work: operate(work, Release(cause="drain")))
    await world.settle()
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_cancelled", "task_parked")
    await world.perform("scheduler", _retry("t1"))
    await world.settle()
    assert end(await sound(world), "t2") == "task_done"


async def test_tasks_that_cannot_be_solved_leave_their_slots_to_others(make: Any) -> None:
    """F6: the unsolvable fill every slot, and the rest gets through all the same."""
    world = await make()
    for number in range(12):
        await submit(world, f"bad{number}", body="fail verify 99", priority="urgent")
    await submit(world, "good", priority="low")
    await world.settle()
    events = await sound(world)
    assert end(events, "good") == "task_done"
    assert {end(events, f"bad{number}") for number in range(12)} == {"task_given_up"}


async def test_a_stuck_task_holds_nobody_up(acted: Acted) -> None:
    """F15: one that never ends keeps its own slot, one that is blocked keeps none, and the rest goes past both."""
    world = await acted(lambda request: None if request.task_id == "stuck" else honest(request))
    await limit(world, 2)
    await submit(world, "stuck", priority="urgent")
    await submit(world, "blocked", priority="urgent", depends_on=["stuck"])
    for number in range(5):
        await submit(world, f"t{number}", priority="low")
    await world.settle()
    events = await world.events()
    assert {end(events, f"t{number}") for number in range(5)} == {"task_done"}
    assert granted(events).count("stuck") == 1
    assert "blocked" not in granted(events)
    assert breaches(events) == []


async def test_a_window_is_watched_by_probes_between_which_no_slot_is_held(make: Any) -> None:
    world = await make()
    await limit(world, 1)
    await submit(world, "t1", repos=[{"name": "one", "url": "nowhere", "monitor": {"window_s": 100}}])
    await world.settle()
    await submit(world, "t2")
    await world.settle()
    assert end(await sound(world), "t2") == "task_done"
    for _ in range(9):
        await world.pass_time(10)
        assert end(await world.events(), "t1") == "monitor_wait_started"
    await world.pass_time(10)
    events = await sound(world)
    assert end(events, "t1") == "task_done"
    probes = [event for event in facts_of(events, "t1", "stage_completed") if event.stage == "monitor"]
    assert len(probes) == 11  # one at once, then one each tenth of the window
    assert {event.attempt for event in probes} == {1}  # waiting is not looping


async def test_a_change_that_is_made_again_is_watched_for_a_whole_window_again(make: Any) -> None:
    world = await make()
    repo = {"name": "one", "url": "nowhere", "monitor": {"window_s": 100}}
    await submit(world, "t1", repos=[repo])
    await world.settle()
    first = facts_of(await world.events(), "t1", "monitor_wait_started")[0].until
    await world.perform("scheduler", _told("t1", Cancel(actor="somebody", reason="")))
    await world.pass_time(500)
    await world.perform("scheduler", _retry("t1"))
    await world.settle()
    events = await sound(world)
    assert end(events, "t1") == "monitor_wait_started"
    assert facts_of(events, "t1", "monitor_wait_started")[-1].until > first


def _retry(task_id: str) -> Any:
    return _told(task_id, Retry(actor="somebody"))


def _told(task_id: str, wish: Any) -> Any:
    return lambda work: command(work, task_id, wish)
