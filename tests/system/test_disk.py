"""A full disk under a run: what failed then says nothing, and is done again once there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.stage import StageOutput
from contracts.task import Failure, Stage, StageInput, StageRequested, TaskSpec
from libs.runtime.work import Work
from libs.sandbox import disk
from libs.sandbox.disk import LEAST
from libs.testing.world import World
from services.stage_runner.adapters.executor import BackgroundExecutor
from services.stage_runner.adapters.stages.context import fail
from services.stage_runner.domain import Claim, Which, run
from tests.system.twin import patch_task
from tests.system.walking import facts_of, spec

Carry = Callable[[Any], Awaitable[StageOutput]]


class Volume:
    """A disk with as much room as a test says; keeps what the last run said when it ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.left = 0
        self.looks = 0

    def free(self, _: Path) -> int:
        """Look."""
        self.looks += 1
        return self.left

    async def carry_out(
        self, stage: Stage, carry: Carry, given: TaskSpec | None = None
    ) -> asyncio.Task[None]:
        """Begin a run whose work the test says."""
        running, which = (
            self.world.running["stage-runner"],
            Which(run_id="r0", task_id="t0", stage=stage, attempt=1),
        )

        async def claim(work: Work) -> None:
            await work.decide(run, which.run_id, Claim(which=which, replica="stage-runner-1", epoch=1))

        await running.perform(claim)

        def context(request: Any) -> Any:
            return SimpleNamespace(
                request=request, kept=(), exceeded=[], tokens=SimpleNamespace(waiting=False)
            )

        executor = BackgroundExecutor(running, context, carry)
        executor.start(
            StageRequested(
                run_id="r0",
                task_id="t0",
                stage=stage,
                attempt=1,
                input=StageInput(spec=given or patch_task()),
            )
        )
        return asyncio.create_task(executor.idle())

    async def end(self) -> Failure | None:
        """How the run ended: its failure, or None if it was completed."""
        events = await self.world.events()
        if completed := facts_of(events, "t0", "stage_completed"):
            assert len(completed) == 1
            return None
        (failed,) = facts_of(events, "t0", "stage_failed")
        found: Failure = failed.failure
        return found


@pytest.fixture
def volume(world: World, monkeypatch: pytest.MonkeyPatch) -> Volume:
    """The disk of a stage-runner; it is looked at as often as it can be."""
    volume = Volume(world)
    monkeypatch.setattr(disk, "LOOK_S", 0.0)
    monkeypatch.setattr(disk, "free_bytes", volume.free)
    return volume


async def well(_: Any) -> StageOutput:
    return StageOutput()


async def badly(_: Any) -> StageOutput:
    fail("impossible", "base_unusable", "the set-up fails: cannot write")


async def test_a_failure_on_a_full_disk_is_the_disks_and_may_pass(volume: Volume) -> None:
    idle = await volume.carry_out("spec", badly)
    while not volume.looks:
        await asyncio.sleep(0)
    volume.left = LEAST
    await idle
    failure = await volume.end()
    assert failure is not None
    assert (failure.kind, failure.code) == ("environmental", "disk_full")


async def test_a_disk_that_was_full_for_a_moment_in_between_counts(volume: Volume) -> None:
    volume.left = LEAST
    full = asyncio.Event()

    async def meanwhile(_: Any) -> StageOutput:
        volume.left, seen = 0, volume.looks
        full.set()
        while volume.looks == seen:
            await asyncio.sleep(0)
        volume.left = LEAST
        return await badly(None)

    await (await volume.carry_out("verify", meanwhile))
    assert full.is_set()
    failure = await volume.end()
    assert failure is not None
    assert failure.code == "disk_full"


async def test_the_end_is_told_once_there_is_room(volume: Volume) -> None:
    idle = await volume.carry_out("verify", badly)
    while volume.looks < 20:
        await asyncio.sleep(0)
    assert not idle.done()
    assert not facts_of(await volume.world.events(), "t0", "stage_failed")
    volume.left = LEAST
    await idle
    assert await volume.end()


async def test_what_succeeds_on_a_full_disk_had_what_it_needed(volume: Volume) -> None:
    await (await volume.carry_out("plan", well))
    assert await volume.end() is None


async def test_with_room_on_the_disk_a_failure_is_what_it_says(volume: Volume) -> None:
    volume.left = LEAST
    await (await volume.carry_out("verify", badly))
    failure = await volume.end()
    assert failure is not None
    assert failure.code == "base_unusable"


async def test_simulated_runs_need_no_disk(volume: Volume) -> None:
    await (await volume.carry_out("verify", badly, spec()))
    failure = await volume.end()
    assert failure is not None
    assert (failure.code, volume.looks) == ("base_unusable", 0)
