"""Failures that may pass: the same run again after a wait, without counting as an attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.task import Failure, StageRequested
from libs.testing.world import World
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import end, facts_of, sound, stages, submit

Acted = Callable[[Script], Awaitable[World]]


def failing(times: int, kind: Any = "transient", stage: str = "verify") -> Script:
    """Stages of which one fails so many times before it goes well."""
    left = [times]

    def script(request: StageRequested) -> Answer:
        if request.stage == stage and left[0]:
            left[0] -= 1
            return Failure(kind=kind, code="away", detail="the disk was away")
        return honest(request)

    return script


@pytest.mark.parametrize("kind", ["transient", "environmental"])
@pytest.mark.parametrize("stage", ["spec", "verify", "pr", "monitor"])
async def test_what_passes_by_itself_is_run_again_after_waits_that_double(
    acted: Acted, stage: str, kind: str
) -> None:
    world = await acted(failing(3, kind, stage))
    await submit(world, "t1", patch_task())
    await world.settle()
    for seconds in (2, 4, 8):
        runs = len(stages(await world.events()))
        await world.pass_time(seconds - 0.1)
        assert len(stages(await world.events())) == runs
        await world.pass_time(0.1)
    events = await sound(world)
    assert end(events) == "task_done"
    asked = [one for one in facts_of(events, "t1", "stage_requested") if one.stage == stage]
    assert [(one.attempt, one.retry) for one in asked] == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert facts_of(events, "t1", "loop_opened") == []


async def test_what_does_not_pass_in_three_more_tries_is_an_incident(acted: Acted) -> None:
    world = await acted(failing(99))
    await submit(world, "t1", patch_task())
    await world.settle()
    for _ in range(4):
        await world.pass_time(60)
    events = await sound(world)
    assert end(events) == "task_given_up"
    assert len([one for one in stages(events) if one == "verify 1"]) == 4
    assert "did not pass in 3 more tries" in facts_of(events, "t1", "task_given_up")[0].reason


@pytest.mark.parametrize("kind", ["persistent", "impossible"])
async def test_the_only_candidate_is_not_tried_twice(acted: Acted, kind: str) -> None:
    """F7: what fails at once and always is an incident after one loop, not a retry."""
    world = await acted(failing(1, kind))
    await submit(world, "t1", patch_task())
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_given_up"
    assert [one for one in stages(events) if one.startswith("verify")] == ["verify 1"]
    assert len(facts_of(events, "t1", "loop_opened")) == 1
