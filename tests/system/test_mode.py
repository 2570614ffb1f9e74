"""Emergency stop and the way back: nothing runs meanwhile, nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from contracts.task import Failure, StageRequested, TaskSpec
from libs.testing.invariants import breaches
from libs.testing.world import World
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import end, facts_of, sound, stages, state_of, submit, switch, verdicts

Acted = Callable[[Script], Awaitable[World]]


class Gatekeeper:
    """Lets stages end well, but for those of one kind while it is shut."""

    def __init__(self, stage: str = "") -> None:
        self.stage = stage

    def __call__(self, request: StageRequested) -> Answer:
        return None if request.stage == self.stage else honest(request)


@pytest.mark.parametrize("stage", ["spec", "plan", "implement", "verify", "review", "pr", "monitor"])
async def test_a_running_stage_is_stopped_and_taken_up_again_as_the_same_attempt(
    acted: Acted, stage: str
) -> None:
    keeper = Gatekeeper(stage)
    world = await acted(keeper)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.settle()
    (parked,) = facts_of(await sound(world), "t1", "task_parked")
    assert (parked.reason, parked.wake_up) == ("emergency stop", "autopilot mode normal")
    keeper.stage = ""
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    requests = [event for event in facts_of(events, "t1", "stage_requested") if event.stage == stage]
    assert [(event.attempt, event.retry) for event in requests] == [(1, 0), (1, 1)]


async def test_during_the_stop_nothing_starts(acted: Acted) -> None:
    world = await acted(honest)
    await switch(world, "emergency-stop")
    await submit(world, "t1", patch_task())
    await world.settle()
    assert facts_of(await world.events(), "t1", "stage_requested", "slot_granted") == []
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_what_a_gate_says_during_the_stop_counts_after_it(acted: Acted) -> None:
    world = await acted(honest)
    await world.crash("gate")
    await submit(world, "t1", patch_task())
    await world.settle()
    assert (await state_of(world, "t1")).phase == "gating"
    await switch(world, "emergency-stop")
    await world.start("gate")
    await world.settle()
    assert end(await sound(world)) == "task_parked"
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert verdicts(events)[0] == ["approve"]
    assert stages(events)[:3] == ["spec 1", "plan 1", "implement 1"]


async def test_a_plan_delta_that_comes_during_the_stop_is_not_lost(acted: Acted) -> None:
    def script(request: StageRequested) -> Answer:
        if request.stage == "verify" and request.input.delta is None:
            return Failure(kind="persistent", code="broken", detail="it broke")
        return honest(request)

    world = await acted(script)
    await world.crash("resolution")
    await submit(world, "t1", patch_task(engine="noop", synthetic=True, patch=None))
    await world.settle()
    assert (await state_of(world, "t1")).phase == "resolving"
    await switch(world, "emergency-stop")
    await world.start("resolution")
    await world.settle()
    assert end(await sound(world)) == "task_parked"
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert [one for one in stages(events) if one.startswith(("plan", "verify"))] == [
        *("plan 1", "verify 1", "plan 2", "verify 2")
    ]


async def test_a_retry_that_is_due_during_the_stop_is_made_after_it(acted: Acted) -> None:
    failed: list[str] = []

    def script(request: StageRequested) -> Answer:
        if request.stage == "verify" and not failed:
            failed.append(request.run_id)
            return Failure(kind="transient", code="flaky", detail="the disk was away")
        return honest(request)

    world = await acted(script)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.pass_time(60)
    assert end(await sound(world)) == "task_parked"
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_normal_again_before_the_stage_has_stopped(acted: Acted) -> None:
    keeper = Gatekeeper("implement")
    world = await acted(keeper)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    keeper.stage = ""
    await switch(world, "normal")
    assert (await state_of(world, "t1")).phase == "suspending"
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_a_stop_between_two_probes_lets_the_window_go_on(acted: Acted) -> None:
    world = await acted(honest)
    repo = {"name": "r", "url": "/somewhere/r.git", "monitor": {"window_s": 100}, "fail_to_pass": ["x"]}
    await submit(world, "t1", patch_task(synthetic=True, engine="noop", patch=None, repos=[repo]))
    await world.settle()
    await switch(world, "emergency-stop")
    await world.pass_time(500)
    assert end(await world.events()) == "monitor_wait_started"
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


def on_its_own_branch(number: int) -> TaskSpec:
    """A task that need not wait for others that change the same files."""
    (repo,) = patch_task().repos
    return msgspec.structs.replace(
        patch_task(), repos=(msgspec.structs.replace(repo, base=f"branch-{number}"),)
    )


async def test_stopping_many_leaves_no_slot_taken(acted: Acted) -> None:
    keeper = Gatekeeper("verify")
    world = await acted(keeper)
    for number in range(15):
        await submit(world, f"t{number}", on_its_own_branch(number))
    await world.settle()
    await switch(world, "emergency-stop")
    await world.settle()
    events = await world.events()
    assert breaches(events) == []
    assert len([event for event in events if event.type == "task_parked"]) == 10
    keeper.stage = ""
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert {end(events, f"t{number}") for number in range(15)} == {"task_done"}


async def test_in_mode_minimal_the_pull_request_is_an_unreviewed_draft(acted: Acted) -> None:
    seen: list[StageRequested] = []

    def script(request: StageRequested) -> Answer:
        seen.append(request)
        return honest(request)

    world = await acted(script)
    await switch(world, "minimal")
    await submit(world, "t1", patch_task())
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert set(verdicts(events)) == {0, 1, 2, 3}
    assert [(one.stage, one.reason) for one in facts_of(events, "t1", "stage_skipped")][-1] == (
        "review",
        "mode is minimal",
    )
    assert [request.input.draft for request in seen if request.stage == "pr"] == [True]
