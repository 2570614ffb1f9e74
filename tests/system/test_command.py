"""Engine `command` through every stage and gate: good work ends in a pull request, pretence in an incident."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import msgspec
import pytest

from contracts.task import TaskSpec
from libs.forge.local import LocalForge
from libs.testing.world import World
from tests.system.conftest import Make
from tests.system.shop import Shop
from tests.system.walking import end, facts_of, sound, stages, submit, verdicts, wait_out

AGENTS = Path(__file__).parents[1] / "integration" / "stage_runner" / "agents"


@pytest.fixture
async def world(make: Make) -> World:
    """The four services that carry a task."""
    return await make()


def task(shop: Shop, *words: str) -> TaskSpec:
    """Commit a policy that names a test agent, and make a task for it."""
    agent = shlex.join([sys.executable, str(AGENTS / words[0]), *words[1:]])
    shop.commit({"autopilot-policy.toml": f"[agent]\ncommand = '''{agent}'''\n"})
    made = shop.task("")
    (one,) = made.repos
    env = {**one.env, "PATH": f"{AGENTS}:{one.env['PATH']}"}
    repos = (msgspec.structs.replace(one, env=env),)
    return msgspec.structs.replace(made, engine="command", patch=None, repos=repos)


async def test_good_work_ends_in_a_pull_request(world: World, shop: Shop) -> None:
    await submit(world, "t1", task(shop, "good.py"))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events, "t1") == "task_done"
    (pull,) = await LocalForge(Path(world.running["stage-runner"].config.data_dir)).list(shop.url)
    assert "made by the program" in pull.body


async def test_deleted_tests_end_in_an_incident_and_not_in_a_loop(world: World, shop: Shop) -> None:
    await submit(world, "t1", task(shop, "bad.py", "tests"))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events, "t1") == "task_given_up"
    assert verdicts(events)[3] == ["reject"]
    assert "implement 2" in stages(events)
    assert "verify 2" not in stages(events), "the second time it was the same change"
    assert [one.failure.code for one in facts_of(events, "t1", "resolution_awaited")] == [
        "gate_refused",
        "repeated_change",
    ]
