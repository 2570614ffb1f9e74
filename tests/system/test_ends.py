"""How ends of runs come into the record: together, each with what is its own, and none lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.stage import StageOutput
from contracts.task import StageInput, StageRequested
from libs.eventstore.store import Append, StoreUnavailableError
from libs.runtime.running import Running
from libs.runtime.work import Work
from libs.testing.world import World
from services.stage_runner.adapters import ends as ends_module
from services.stage_runner.adapters.ends import Ends
from services.stage_runner.adapters.executor import BackgroundExecutor
from services.stage_runner.domain import Claim, Complete, Which, run
from tests.system.twin import patch_task


def named(number: int) -> Which:
    return Which(run_id=f"r{number}", task_id=f"t{number}", stage="think", attempt=1)


def complete(*thoughts: str) -> Complete:
    return Complete(output=StageOutput(thoughts=thoughts), evidence=(), duration_s=1.0)


class Scene:
    """Some runs that were claimed, and the appends that follow."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.running: Running = world.running["stage-runner"]
        self.ends = Ends(self.running)
        self.appends: list[Append] = []
        self._append = world.store.append
        #: Raised by the next appends.
        self.failures: list[Exception] = []
        world.store.append = self._seen  # type: ignore[method-assign]

    async def _seen(self, append: Append) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        recorded = await self._append(append)
        self.appends.append(append)
        return recorded

    async def claim(self, count: int) -> None:
        async def claim(work: Work) -> None:
            for number in range(count):
                wish = Claim(which=named(number), replica="stage-runner-1", epoch=1)
                await work.decide(run, wish.which.run_id, wish)

        await self.running.perform(claim)
        self.appends.clear()

    async def record(self, *outputs: tuple[str, ...], synthetic: tuple[int, ...] = ()) -> list[Any]:
        """Record an end for each run at once."""
        return await asyncio.gather(
            *(
                self.ends.record(named(number), complete(*thoughts), synthetic=number in synthetic)
                for number, thoughts in enumerate(outputs)
            ),
            return_exceptions=True,
        )

    async def told(self) -> dict[str, str]:
        """How each run ended."""
        found = [event for event in await self.world.events() if event.stream.startswith("run-")]
        return {event.stream: event.type for event in found if event.type != "stage_started"}


@pytest.fixture
async def scene(world: World) -> Scene:
    scene = Scene(world)
    await scene.claim(4)
    return scene


async def test_ends_that_come_at_the_same_time_go_into_one_append(scene: Scene) -> None:
    assert await scene.record((), ("a",), (), ()) == [None] * 4
    (append,) = scene.appends
    assert sorted(stream.head.stream for stream in append.streams) == ["run-r0", "run-r1", "run-r2", "run-r3"]
    assert set((await scene.told()).values()) == {"stage_completed"}


async def test_more_ends_than_go_together_take_several_appends(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "TOGETHER", 3)
    await scene.record((), (), (), ())
    assert [len(append.streams) for append in scene.appends] == [3, 1]


async def test_an_end_that_cannot_be_recorded_is_told_as_a_failure_and_costs_no_other(scene: Scene) -> None:
    assert await scene.record((), ("a\0b",), (), ()) == [None] * 4
    assert await scene.told() == {
        "run-r0": "stage_completed",
        "run-r1": "stage_failed",
        "run-r2": "stage_completed",
        "run-r3": "stage_completed",
    }


async def test_simulated_ends_are_not_mixed_with_real_ones(scene: Scene) -> None:
    await scene.record((), (), (), (), synthetic=(1, 2))
    marks = {event.stream: event.meta.synthetic for event in await scene.world.events() if event.version == 2}
    assert marks == {"run-r0": False, "run-r1": True, "run-r2": True, "run-r3": False}
    assert len(scene.appends) == 2


async def test_ends_wait_for_a_record_that_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends_module, "AGAIN_S", 0.0)
    scene.failures = [StoreUnavailableError("gone"), StoreUnavailableError("gone")]
    assert await scene.record((), (), (), ()) == [None] * 4
    assert len(scene.appends) == 1
    assert len(await scene.told()) == 4


async def test_without_the_lease_ends_are_left_to_the_next_holder(scene: Scene) -> None:
    scene.running.stand_down()
    assert await scene.record((), (), (), ()) == [None] * 4
    assert await scene.told() == {}


async def test_a_failure_of_an_append_is_told_to_each_whose_own_it_is(scene: Scene) -> None:
    scene.failures = [RuntimeError("all"), RuntimeError("the first")]
    first, *others = await scene.record((), (), (), ())
    assert str(first) == "the first"
    assert others == [None] * 3


async def test_an_end_whose_caller_is_gone_is_recorded_all_the_same(scene: Scene) -> None:
    caller = asyncio.create_task(scene.ends.record(named(0), complete(), synthetic=False))
    await asyncio.sleep(0)
    caller.cancel()
    await scene.record((), ())
    assert await scene.told() == {"run-r0": "stage_completed", "run-r1": "stage_completed"}


async def test_what_is_abandoned_is_not_recorded_and_keeps_nobody_waiting(scene: Scene) -> None:
    recording = asyncio.create_task(scene.record((), (), (), ()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await scene.ends.abandon()
    assert [type(answer) for answer in await recording] == [asyncio.CancelledError] * 4
    assert await scene.told() == {}


async def test_a_stop_that_comes_after_the_end_does_not_make_the_run_nobodys(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "AGAIN_S", 0.0)

    class Context:
        kept: tuple[Any, ...] = ()
        exceeded: tuple[Any, ...] = ()
        tokens = SimpleNamespace(waiting=False)

        def __init__(self, request: StageRequested) -> None:
            self.request = request

    async def carry(_: Any) -> StageOutput:
        return StageOutput(thoughts=("done",))

    executor = BackgroundExecutor(scene.running, Context, carry)  # type: ignore[arg-type]
    which = named(0)
    given = StageInput(spec=patch_task())
    scene.failures = [StoreUnavailableError("gone")] * 5
    executor.start(
        StageRequested(
            run_id=which.run_id, task_id=which.task_id, stage=which.stage, attempt=which.attempt, input=given
        )
    )
    while len(scene.failures) == 5:
        await asyncio.sleep(0)
    assert executor.stop("r0", "asked")
    assert executor.working_on("r0")
    await executor.idle()
    assert await scene.told() == {"run-r0": "stage_completed"}
