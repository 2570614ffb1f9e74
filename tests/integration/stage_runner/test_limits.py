"""What is told of commands that reach their limits."""

from __future__ import annotations

import msgspec
import pytest

from libs.sandbox.runner import heard
from services.stage_runner.adapters.limits import listener
from services.stage_runner.adapters.stages.context import StageError
from services.stage_runner.adapters.stages.table import carry
from tests.integration.stage_runner.bench import Bench
from tests.integration.stage_runner.test_command import planned, say, task
from tests.system.shop import require_sandbox

HOG = "python3 -c 'x = []\nwhile True: x.append(bytearray(2**20))'"


@pytest.mark.parametrize(
    ("program", "budget", "resource", "setting"),
    [
        (HOG, {"memory_mb": 64}, "memory", "budget.memory_mb"),
        ("sleep 100", {"wall_s": 1}, "wall", "budget.wall_s"),
        ("i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i+1)); done; wait", {}, "processes", ""),
        ("yes | head -c 11000000", {}, "output", ""),
    ],
    ids=lambda value: value if value in ("memory", "wall", "processes", "output") else "",
)
async def test_each_limit_is_told_with_its_setting_and_its_peak(
    bench: Bench, program: str, budget: dict[str, int], resource: str, setting: str
) -> None:
    require_sandbox()
    say(bench, program)
    spec = task(bench)
    spec = msgspec.structs.replace(spec, budget=msgspec.structs.replace(spec.budget, **budget))
    request = bench.request("implement", await planned(bench, spec))
    context = await bench.context(request)
    with heard(listener(context)), pytest.raises(StageError) as caught:
        await carry(context)
    (told,) = context.exceeded
    assert (told.resource, told.setting) == (resource, setting)
    assert told.peak >= 0.9 * told.limit
    if resource == "memory":
        failure = caught.value.failure
        assert (failure.kind, failure.code) == ("impossible", "memory_exceeded")
        assert "budget.memory_mb is 64" in failure.detail
        assert f"autopilot retry {request.task_id} --memory" in failure.detail
