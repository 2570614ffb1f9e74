"""Which runs need one of the few places for commands of a repository."""

from __future__ import annotations

import msgspec
import pytest

from contracts.task import STAGES, Stage, StageInput, StageRequested, TaskSpec
from services.stage_runner.adapters.executor import executes


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


def test_monitor_only_where_there_is_something_to_run() -> None:
    assert not executes(request("monitor"))
    assert executes(request("monitor", smoke="true"))
