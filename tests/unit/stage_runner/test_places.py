"""Which runs need one of the few places for commands of a repository."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contracts.task import STAGES, Stage, StageInput, StageRequested, TaskSpec
from services.stage_runner.adapters.places import Places, executes


def request(stage: Stage, engine: str = "patch", smoke: str | None = None) -> StageRequested:
    spec = msgspec.convert(
        {"title": "t", "engine": engine, "repos": [{"name": "r", "url": "u", "monitor": {"smoke": smoke}}]},
        TaskSpec,
    )
    return StageRequested(task_id="t1", run_id="r", stage=stage, attempt=1, input=StageInput(spec=spec))


@pytest.mark.parametrize("engine", ["patch", "repair", "command"])
def test_verify_always_and_implement_where_the_engine_does(engine: str) -> None:
    heavy = {stage for stage in STAGES if executes(request(stage, engine))}
    assert heavy == ({"verify"} if engine == "patch" else {"verify", "implement"})


def test_simulated_stages_execute_nothing() -> None:
    assert not any(executes(request(stage, "noop", smoke="true")) for stage in STAGES)


def test_monitor_only_where_there_is_something_to_run() -> None:
    assert not executes(request("monitor"))
    assert executes(request("monitor", smoke="true"))


async def holding(places: Places, *requests: StageRequested) -> list[int]:
    """Let runs ask for places in this order, and tell which of them got one."""
    got: list[int] = []

    async def hold(number: int, request: StageRequested) -> None:
        async with places.held(request):
            got.append(number)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(hold(number, request)) for number, request in enumerate(requests)]
    for _ in range(10):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got


async def test_engines_leave_a_place_for_a_change_to_be_verified() -> None:
    search, check = request("implement", "repair"), request("verify")
    assert await holding(Places(2), search, search, check, check) == [0, 2]
    assert await holding(Places(4), search, search, search, search, check) == [0, 1, 2, 4]
    assert await holding(Places(2), check, check, search) == [0, 1]


async def test_one_place_serves_engines_too() -> None:
    search, check = request("implement", "command"), request("verify")
    assert await holding(Places(1), search, check) == [0]
    assert await holding(Places(1), check, search) == [0]


async def test_what_executes_nothing_waits_for_no_place() -> None:
    assert await holding(Places(1), request("verify"), request("think"), request("implement", "patch")) == [
        0,
        1,
        2,
    ]
