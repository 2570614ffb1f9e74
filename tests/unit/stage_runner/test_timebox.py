"""What a run may take of time."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from contracts.task import Budget, StageInput, StageRequested, TaskSpec
from libs.testing.virtualtime import VirtualLoop
from services.stage_runner.adapters.timebox import Box, OverrunError, box_of, boxed

BOX = Box(setting="budget.stage_wall_s", seconds=100)


def request(worked_s: float = 0.0, **budget: int) -> StageRequested:
    spec = msgspec.convert({"title": "t", "repos": [{"name": "r", "url": "u"}], "budget": budget}, TaskSpec)
    given = StageInput(spec=spec, worked_s=worked_s)
    return StageRequested(task_id="t1", run_id="r", stage="verify", attempt=1, input=given)


def test_by_default_a_stage_has_four_walls_of_a_command_and_a_task_sixteen() -> None:
    assert (Budget().stage_s, Budget().task_s) == (3_600, 14_400)
    assert Budget(wall_s=10, stage_wall_s=15, task_wall_s=20).stage_s == 15


def test_the_lower_of_both_limits_counts_and_is_named() -> None:
    assert box_of(request()) == Box(setting="budget.stage_wall_s", seconds=3_600)
    assert box_of(request(14_000)) == Box(setting="budget.task_wall_s", seconds=400)
    assert box_of(request(20_000)).seconds == 0
    assert box_of(request(stage_wall_s=7)) == Box(setting="budget.stage_wall_s", seconds=7)


def test_the_failure_names_the_limit_and_only_that_of_the_task_is_final() -> None:
    stage, task = (
        BOX.failure("verify"),
        msgspec.structs.replace(BOX, setting="budget.task_wall_s").failure("pr"),
    )
    assert (stage.kind, stage.code) == ("persistent", "stage_wall")
    assert "budget.stage_wall_s" in stage.detail
    assert (task.kind, task.code) == ("impossible", "task_wall")
    assert "budget.task_wall_s" in task.detail


class Told:
    """Remembers at which second the warning came."""

    def __init__(self) -> None:
        self.at: list[float] = []

    async def warn(self, elapsed_s: float) -> None:
        self.at.append(elapsed_s)


async def working(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@pytest.mark.parametrize(("seconds", "told"), [(79.0, []), (81.0, [80.0]), (99.0, [80.0])])
def test_most_of_the_time_is_told_of_once_and_what_is_done_in_time_is_done(
    seconds: float, told: list[float]
) -> None:
    listener = Told()
    assert VirtualLoop().run(boxed(BOX, working(seconds), listener.warn)) == "done"
    assert listener.at == told


def test_a_stage_that_overruns_is_warned_of_and_then_stopped() -> None:
    """F28: agents that stall, for each of ten reasons, and nobody who ends it."""
    listener, stopped = Told(), []

    async def stalling() -> None:
        try:
            await asyncio.sleep(10_000)
        except asyncio.CancelledError:
            stopped.append(asyncio.get_running_loop().time())
            raise

    with pytest.raises(OverrunError) as caught:
        VirtualLoop().run(boxed(BOX, stalling(), listener.warn))
    assert (listener.at, len(stopped)) == ([80.0], 1)
    assert (caught.value.box, caught.value.elapsed_s) == (BOX, 100.0)


def test_a_time_out_of_the_works_own_is_the_works_own() -> None:
    async def impatient() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        VirtualLoop().run(boxed(BOX, impatient(), Told().warn))


def test_a_run_that_is_stopped_from_outside_is_no_overrun() -> None:
    async def stop() -> bool:
        run = asyncio.create_task(boxed(BOX, working(50), Told().warn))
        await asyncio.sleep(1)
        run.cancel()
        await asyncio.wait([run])
        return run.cancelled()

    assert VirtualLoop().run(stop())


def test_the_clock_is_the_one_that_stands_still_while_the_machine_is_suspended() -> None:
    async def told() -> tuple[float, float, float]:
        clock = time.CLOCK_MONOTONIC
        return time.clock_gettime(clock), asyncio.get_running_loop().time(), time.clock_gettime(clock)

    before, now, after = asyncio.run(told())
    # CLOCK_BOOTTIME would be ahead by the time of every suspension so far.
    assert before <= now <= after
