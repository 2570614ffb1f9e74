"""Each service killed at each of its appends, before and after it became true: the outcome is the undisturbed one."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.task import StageRequested
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel
from tests.system.faults import KillAt, Killed, story, survive
from tests.system.twin import Answer, honest, patch_task, scripted
from tests.system.walking import CORE, SERVICES, end, facts_of, restart, sound, submit, tell, wait_out

#: Loops back once, so that every kind of step is there; its window sets timers.
WATCHED = {"name": "one", "url": "nowhere", "monitor": {"window_s": 30}}
CORE_NAMES = [service.name for service in CORE]
WATCHERS = [service.name for service in SERVICES if service.name not in CORE_NAMES]


async def begin(make: Any, services: Any = CORE) -> World:
    """A world with a task that has just come in."""
    world: World = await make(services)
    await submit(world, "t1", body="fail verify 1", repos=[WATCHED])
    return world


async def undisturbed(make: Any, services: Any = CORE) -> list[Any]:
    """What happens when nothing is killed."""
    world = await begin(make, services)
    await world.settle()
    await wait_out(world)
    return story(await sound(world))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", CORE_NAMES)
async def test_a_service_killed_at_any_of_its_appends_changes_no_outcome(
    make: Any, name: str, after: bool
) -> None:
    expected = await undisturbed(make)
    nth, fired = 0, True
    while fired:
        # Every second append is enough for one side: the other side takes those in between.
        nth += 2 if nth else 1 + after
        world = await begin(make)
        kill = KillAt(world, name, nth, after=after)
        await survive(world, kill, name)
        told = story(await sound(world))
        assert told == expected, f"{name} killed at append {nth}"
        fired = kill.fired
    assert nth > 4


@pytest.mark.parametrize("name", WATCHERS)
async def test_a_watching_service_killed_now_and_then_disturbs_nobody(make: Any, name: str) -> None:
    expected = await undisturbed(make)
    for nth in (1, 2, 9, 30):
        world = await begin(make, SERVICES)
        kill = KillAt(world, name, nth, after=nth % 2 == 0)
        await survive(world, kill, name)
        assert story(await sound(world)) == expected, f"{name} killed at append {nth}"


async def test_all_services_killed_at_once_go_on_where_they_were(make: Any) -> None:
    expected = await undisturbed(make)
    world = await begin(make)
    for _ in range(12):
        await world.step()
        for name in CORE_NAMES:
            await restart(world, name)
        world.clock.advance(6)
    await wait_out(world)
    assert story(await sound(world)) == expected


async def test_a_run_whose_holder_died_goes_on_and_is_no_new_attempt(make: Any) -> None:
    answers: dict[str, Answer] = {}

    def script(request: StageRequested) -> Answer:
        return answers.get(request.stage, honest(request))

    world = await make(scripted(script))
    answers["implement"] = None
    await submit(world, "t1", patch_task())
    await world.settle()
    del answers["implement"]
    await restart(world, "stage-runner")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    (resumed,) = facts_of(events, "t1", "stage_resumed")
    assert (resumed.stage, resumed.attempt, resumed.epoch) == ("implement", 1, 2)


async def test_a_cancellation_that_the_holder_did_not_live_to_carry_out_is_carried_out(make: Any) -> None:
    world = await make(scripted(lambda request: None if request.stage == "implement" else honest(request)))
    await submit(world, "t1", patch_task())
    await world.settle()
    await world.crash("stage-runner")
    await tell(world, "t1", Cancel(actor="somebody", reason=""))
    await world.settle()
    await restart(world, "stage-runner")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_cancelled"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_cancellation_survives_a_kill_at_any_append(make: Any, after: bool) -> None:
    nth, fired = 0, True
    while fired:
        nth += 1
        world = await make(scripted(lambda request: None if request.stage == "plan" else honest(request)))
        await submit(world, "t1", patch_task())
        await world.settle()
        kill = KillAt(world, "stage-runner", nth, after=after)
        await tell(world, "t1", Cancel(actor="somebody", reason=""))
        await survive(world, kill, "stage-runner")
        assert end(await sound(world)) == "task_cancelled"
        fired = kill.fired


async def test_a_submission_whose_answer_never_came_happened_wholly_or_not_at_all(make: Any) -> None:
    for after in (False, True):
        world = await make()
        kill = KillAt(world, "scheduler", 1, after=after)
        with pytest.raises(Killed):
            await submit(world, "t1")
        kill.dead = False
        await restart(world, "scheduler")
        await wait_out(world)
        events = await sound(world)
        assert bool(events) == after
        assert not after or end(events) == "task_done"
