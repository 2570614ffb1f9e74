"""Cancelling a task in whatever phase it is in: it ends `cancelled`, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.task import Failure, StageRequested
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel, Retry
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import end, facts_of, limit, sound, state_of, submit, switch, tell, wait_out

CANCEL = Cancel(actor="somebody", reason="not needed")
Acted = Callable[[Script], Awaitable[World]]


def holding(stage: str) -> Script:
    """Stages that go well, but for one that does not end by itself."""
    return lambda request: None if request.stage == stage else honest(request)


async def cancelled(world: World, phase: str) -> list[Any]:
    """Cancel a task in the phase it is expected in, and see it end."""
    assert (await state_of(world, "t1")).phase == phase
    await tell(world, "t1", CANCEL)
    await world.settle()
    assert end(await world.events()) == "task_cancelled"
    await wait_out(world)
    events = await sound(world)
    (last,) = facts_of(events, "t1", "task_cancelled")
    assert (last.actor, last.reason) == ("somebody", "not needed")
    assert facts_of(events, "t1", "task_done", "task_given_up") == []
    return events


async def test_while_it_is_queued(acted: Acted) -> None:
    world = await acted(holding("spec"))
    await limit(world, 1)
    await submit(world, "t0", patch_task())
    await submit(world, "t1", patch_task())
    await world.settle()
    assert (await state_of(world, "t1")).phase == "queued"
    await tell(world, "t1", CANCEL)
    await tell(world, "t0", CANCEL)
    await world.settle()
    events = await sound(world)
    assert end(events) == end(events, "t0") == "task_cancelled"
    assert facts_of(events, "t1", "slot_granted", "stage_requested") == []


@pytest.mark.parametrize("stage", ["spec", "plan", "implement", "verify", "review", "pr", "monitor"])
async def test_while_a_stage_runs(acted: Acted, stage: str) -> None:
    world = await acted(holding(stage))
    await submit(world, "t1", patch_task())
    await world.settle()
    events = await cancelled(world, "running")
    (stopped,) = facts_of(events, "t1", "stage_cancelled")
    assert stopped.stage == stage


async def test_before_the_stage_runner_has_seen_the_request(acted: Acted) -> None:
    world = await acted(honest)
    await world.crash("stage-runner")
    await submit(world, "t1", patch_task())
    await world.settle()
    await tell(world, "t1", CANCEL)
    await world.settle()
    await world.start("stage-runner")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_cancelled"
    assert facts_of(events, "t1", "stage_completed") == []


async def test_while_gates_are_asked(acted: Acted) -> None:
    world = await acted(honest)
    await world.crash("gate")
    await submit(world, "t1", patch_task())
    await world.settle()
    await cancelled(world, "gating")
    await world.start("gate")
    await world.settle()
    events = await sound(world)
    assert facts_of(events, "t1", "gate_decided")  # too late: it changes nothing
    assert end(events) == "task_cancelled"


async def test_while_a_failure_is_being_resolved(acted: Acted) -> None:
    world = await acted(
        lambda request: failure("persistent") if request.stage == "verify" else honest(request)
    )
    await world.crash("resolution")
    await submit(world, "t1", patch_task())
    await world.settle()
    await cancelled(world, "resolving")
    await world.start("resolution")
    await world.settle()
    assert end(await sound(world)) == "task_cancelled"


async def test_while_it_waits_for_another_try(acted: Acted) -> None:
    world = await acted(
        lambda request: failure("transient") if request.stage == "verify" else honest(request)
    )
    await submit(world, "t1", patch_task())
    await world.settle()
    events = await cancelled(world, "resolving")
    assert len(facts_of(events, "t1", "stage_failed")) == 1  # the timer that fires later finds nothing to do


async def test_while_its_change_is_watched(acted: Acted) -> None:
    world = await acted(honest)
    repo = {"name": "r", "url": "/somewhere/r.git", "monitor": {"window_s": 100}, "fail_to_pass": ["x"]}
    await submit(world, "t1", patch_task(synthetic=True, engine="noop", patch=None, repos=[repo]))
    await world.settle()
    await cancelled(world, "waiting")


async def test_while_it_is_parked(acted: Acted) -> None:
    world = await acted(holding("implement"))
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.settle()
    await cancelled(world, "parked")
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_cancelled"


async def test_while_it_is_being_stopped_already(acted: Acted) -> None:
    world = await acted(holding("implement"))
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await cancelled(world, "suspending")


async def test_twice_is_once_and_after_the_end_it_is_too_late(acted: Acted) -> None:
    world = await acted(holding("verify"))
    await submit(world, "t1", patch_task())
    await world.settle()
    for _ in range(3):
        await tell(world, "t1", CANCEL)
    await world.settle()
    before = len(await sound(world))
    await tell(world, "t1", CANCEL)
    await world.settle()
    assert len(await world.events()) == before


async def test_a_cancelled_task_can_be_taken_up_again(acted: Acted) -> None:
    ended: set[str] = set()

    def script(request: StageRequested) -> Answer:
        return honest(request) if ended or request.stage != "verify" else None

    world = await acted(script)
    await submit(world, "t1", patch_task())
    await world.settle()
    await cancelled(world, "running")
    ended.add("now")
    await tell(world, "t1", Retry(actor="somebody"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert [
        event.attempt for event in facts_of(events, "t1", "stage_requested") if event.stage == "verify"
    ] == [1, 2]


def failure(kind: Any) -> Failure:
    """A stage that fails."""
    return Failure(kind=kind, code="broken", detail="it broke")
