"""Real patches through real git, sandbox, verifier and forge."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.receipt import EvidenceRef
from libs.evidence.store import EvidenceStore
from libs.forge.local import LocalForge
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel
from services.stage_runner.adapters.stages.context import cookie_of
from tests.system.shop import PYTEST, RIGHT, WRONG, Shop, marked
from tests.system.walking import (
    end,
    facts_of,
    restart,
    sound,
    stages,
    submit,
    tell,
    verdicts,
    wait_out,
)

#: Seconds after which something that should have happened will not.
PATIENCE_S = 60


async def until(world: World, condition: Callable[[], Any]) -> None:
    """Let the services go on, without waiting for stages to end, until something is so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not condition():
        assert loop.time() < deadline, "it did not happen"
        await world.step()
        await asyncio.sleep(0.02)


def unwaiting(world: World) -> None:
    """Let steps of the world not wait for stages that are under way."""

    async def at_once() -> None:
        await asyncio.sleep(0)

    world.running["stage-runner"].parts.idle = at_once


def nothing_left(data: Path, shop: Shop) -> None:
    """No worktree, no directory of a run, no process."""
    assert [path for path in (data / "work").rglob("*") if path.is_file()] == []
    for mirror in (data / "mirrors").glob("*.git"):
        listed = shop.git("worktree", "list", cwd=mirror).splitlines()
        assert len(listed) == 1, listed
    for run_id in ("t1-workspace-1", "t1-verify-1"):
        assert marked(cookie_of(data, run_id)) == []


async def test_a_right_patch_ends_in_a_pull_request_with_proof(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    patch = shop.patch({"wide.py": RIGHT, "NEWS.md": "- pads\n"})
    before, data = shop.fingerprint(), tmp_path / "data"
    await submit(world, "t1", shop.task(patch))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_done", facts_of(events, "t1", "resolution_awaited")
    assert verdicts(events) == {gate: ["approve"] for gate in range(6)}
    assert shop.fingerprint() == before
    nothing_left(data, shop)

    forge = LocalForge(data)
    (pull,) = await forge.list(shop.url)
    (done,) = facts_of(events, "t1", "task_done")
    assert (pull.title, pull.head, pull.base, pull.state, pull.draft) == (
        "Pad",
        "autopilot/t1",
        "main",
        "open",
        False,
    )
    assert done.pull_requests[0].tree == pull.tree
    assert "It pads nothing." in pull.body
    assert "1 of 1 selected tests pass that failed before; 2 of 2 tests of the base hold." in pull.body
    assert f"Measured on tree `{pull.tree}`" in pull.body
    assert "Approved by gate 0: approve, gate 1: approve" in pull.body
    repository = Path(await forge.remote(shop.url))
    assert shop.git("show", "refs/pull/1/head:wide.py", cwd=repository) == RIGHT
    assert shop.git(
        "diff", "--name-only", "refs/pull/1/base", "refs/pull/1/head", cwd=repository
    ).split() == [
        "NEWS.md",
        "wide.py",
    ]

    evidence = EvidenceStore(data / "evidence")
    named: list[EvidenceRef] = [
        ref for run in facts_of(events, "t1", "stage_completed") for ref in run.evidence
    ]
    assert {
        "implement/wide/change.diff",
        "plan/plan.json",
        "verify/wide/receipts.json",
        "review/rubric.txt",
    } <= {ref.name for ref in named}
    for reference in named:
        assert len(evidence.read(reference.digest, 10**7)) == reference.size
    assert all(line.split(" sha256:")[1] in {ref.digest for ref in named} for line in pull.evidence)


async def test_a_patch_that_breaks_another_test_ends_in_an_incident_that_shows_it(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    await submit(world, "t1", shop.task(shop.patch({"wide.py": WRONG})))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_given_up"
    assert verdicts(events)[1] == ["reject"]
    (incident,) = facts_of(events, "t1", "incident_filed")
    assert incident.reproducible
    assert await LocalForge(tmp_path / "data").list(shop.url) == ()
    nothing_left(tmp_path / "data", shop)
    script = tmp_path / "data" / incident.path / "reproduce"
    done = await asyncio.to_thread(
        subprocess.run, [script, tmp_path / "again"], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "test_narrow" in done.stdout


@pytest.mark.parametrize(("stage", "hangs_on"), [("workspace", "true"), ("verify", "grep -q ljust wide.py")])
async def test_a_cancelled_run_leaves_no_process_and_no_directory(
    world: World, shop: Shop, tmp_path: Path, stage: str, hangs_on: str
) -> None:
    unwaiting(world)
    run_id = f"t1-{stage}-1"
    # A grandchild in a session of its own: killing the direct child is not enough.
    hangs = f"{hangs_on} || exit 0; setsid sleep 600 & sleep 600"
    await submit(
        world, "t1", shop.task(shop.patch({"wide.py": RIGHT}), verify={"test": hangs}, fail_to_pass=[])
    )
    await until(world, lambda: marked(cookie_of(tmp_path / "data", run_id)))
    await tell(world, "t1", Cancel(actor="somebody", reason="enough"))
    await until(world, lambda: not world.running["stage-runner"].parts.working_on(run_id))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert stages(events)[-1] == ("verify 1" if stage == "verify" else "think 1")
    assert [run.stage for run in facts_of(events, "t1", "stage_cancelled")] == [stage]
    nothing_left(tmp_path / "data", shop)


@pytest.mark.parametrize("stage", ["workspace", "verify"])
async def test_a_run_whose_stage_runner_dies_is_made_again_and_counts_as_one(
    world: World, shop: Shop, tmp_path: Path, stage: str
) -> None:
    unwaiting(world)
    run_id = f"t1-{stage}-1"
    await submit(world, "t1", shop.task(shop.patch({"wide.py": RIGHT})))
    await until(world, lambda: marked(cookie_of(tmp_path / "data", run_id)))
    # Another stack on this machine, with a task of the same id.
    mark = cookie_of(tmp_path / "elsewhere", run_id)
    neighbour = await asyncio.create_subprocess_exec("sleep", "600", env={"AUTOPILOT_COOKIE": mark})
    await restart(world, "stage-runner")
    await world.settle()
    assert neighbour.returncode is None
    neighbour.kill()
    await neighbour.wait()
    events = await sound(world)
    assert end(events) == "task_done"
    assert "verify 2" not in stages(events)
    assert [run.stage for run in facts_of(events, "t1", "stage_resumed")] == [stage]
    assert len(await LocalForge(tmp_path / "data").list(shop.url)) == 1
    nothing_left(tmp_path / "data", shop)


async def test_a_change_that_builds_on_another_is_stacked_on_its_pull_request(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    more = "\n\ndef both(text, width):\n    return pad(text, width) + pad(text, width)\n"
    test = "import wide\n\n\ndef test_both():\n    assert wide.both('a', 2) == 'a a '\n"
    base = shop.commit({"test_both.py": test})
    first = shop.patch({"wide.py": RIGHT})
    shop.commit({"wide.py": RIGHT})
    second = shop.patch({"wide.py": RIGHT + more})
    shop.git("reset", "-q", "--hard", base)
    await submit(world, "t1", shop.task(first, verify={"test": f"{PYTEST} test_wide.py"}))
    wanted = shop.task(second, fail_to_pass=[f"{PYTEST} test_both.py"])
    await submit(world, "t2", msgspec.structs.replace(wanted, depends_on=("t1",)))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events, "t1") == "task_done"
    assert end(events, "t2") == "task_done", facts_of(events, "t2", "task_given_up")
    pulls = await LocalForge(tmp_path / "data").list(shop.url)
    assert [(pull.head, pull.base) for pull in pulls] == [
        ("autopilot/t1", "main"),
        ("autopilot/t2", "autopilot/t1"),
    ]
    assert "Builds on `autopilot/t1`" in pulls[1].body
