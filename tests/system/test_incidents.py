"""Incidents from the failure to the branch, whatever dies in between, and the retry that goes on from them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from libs.forge.local import LocalForge
from libs.testing.world import World
from loadtest import incidents
from services.resolution.adapters.branch import Branches
from services.resolution.adapters.reporter import Reporter
from services.scheduler.domain.commands import Retry
from tests.system.conftest import Make
from tests.system.shop import WRONG, Shop
from tests.system.walking import end, facts_of, restart, sound, stages, submit, tell, wait_out

STALE = "--- a/wide.py\n+++ b/wide.py\n@@ -1,2 +1,2 @@\n-def gone():\n+def here():\n     return text\n"


@pytest.fixture
async def world(make: Make) -> World:
    """The four services that carry a task."""
    return await make()


async def reproduces(shop: Shop, data: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """Run the script from a clean clone of the branch."""
    address = await LocalForge(data).remote(shop.url)
    shop.git("clone", "-q", "-b", "incident/t1", address, str(place), cwd=place.parent)
    return await asyncio.to_thread(
        subprocess.run, [place / "reproduce", place.with_suffix(".work")], capture_output=True, text=True
    )


async def test_an_incident_can_be_seen_from_a_clean_clone_and_says_what_was_tried(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    await submit(world, "t1", shop.task(shop.patch({"wide.py": WRONG})))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    (given_up,) = facts_of(events, "t1", "task_given_up")
    report = given_up.report
    assert (report.incident_id, report.branch) == ("t1-1", "incident/t1")
    assert report.reproduction.gave == "as_recorded"
    assert {found.code for found in report.findings} >= {"test_not_passing"}
    ((forge, branch),) = incidents.branches(tmp_path / "data", [])
    row = await asyncio.to_thread(incidents.attempt, forge, branch)
    assert (row.incident, row.filed, row.now, row.exit_code) == ("t1-1", "as_recorded", "as_recorded", 1), row
    text = (tmp_path / "data" / report.path / "README.md").read_text()
    awaited = next(event for event in events if event.type == "resolution_awaited")
    assert f"versions 1 to {awaited.version} (positions 1 to {awaited.position})" in text
    (change,) = awaited.event.subject.changes
    assert f"patch `{change.diff.digest[:12]}`, tree `{change.tree[:12]}`" in text
    assert f"plan `{awaited.event.subject.plan.digest[:12]}`" in text


def halting(
    original: Callable[..., Awaitable[Any]], reached: list[str], *, before: bool
) -> Callable[..., Awaitable[Any]]:
    """Stop for ever before a step or behind it, until the process is killed there; only the first time."""

    async def step(*args: Any, **values: Any) -> Any:
        if reached:
            return await original(*args, **values)
        if not before:
            await original(*args, **values)
        reached.append("here")
        await asyncio.Event().wait()

    return step


async def at_once() -> None:
    """Do not wait for what is under way."""
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("part", "name"), [(Reporter, "write"), (Branches, "commit"), (Branches, "push")])
async def test_a_process_that_dies_on_the_way_files_one_incident_all_the_same(
    world: World,
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: type,
    name: str,
    before: bool,
) -> None:
    reached: list[str] = []
    monkeypatch.setattr(part, name, halting(getattr(part, name), reached, before=before))
    filing = world.running["resolution"].parts
    monkeypatch.setattr(filing, "idle", at_once)
    await submit(world, "t1", shop.task(STALE))
    while not reached:
        await world.step()
        await filing.look()
    assert facts_of(await world.events(), "t1", "incident_filed") == []
    await restart(world, "resolution")
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_given_up"
    (written,), (filed,) = (
        facts_of(events, "t1", "incident_written"),
        facts_of(events, "t1", "incident_filed"),
    )
    assert (filed.report.commit, filed.report.unpublished) == (written.commit, "")
    data = tmp_path / "data"
    assert await LocalForge(data).branch_head(shop.url, "incident/t1") == written.commit
    forge = Path(await LocalForge(data).remote(shop.url))
    assert shop.git("rev-list", "--count", "incident/t1", cwd=forge).strip() == "1"
    assert [path.name for path in (data / "incidents").iterdir()] == ["t1-1"]
    assert (await reproduces(shop, data, tmp_path / "clone")).returncode == 1


async def test_a_retry_goes_on_from_the_incident_with_think(world: World, shop: Shop, tmp_path: Path) -> None:
    await submit(world, "t1", shop.task(shop.patch({"wide.py": WRONG})))
    await world.settle()
    await tell(world, "t1", Retry(actor="somebody"))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert [stage.split()[0] for stage in stages(events)] == [
        *("spec", "plan", "implement", "verify"),
        *("spec", "plan", "think", "implement", "verify"),
    ]
    (thought,) = [
        event.output.thoughts for event in facts_of(events, "t1", "stage_completed") if event.stage == "think"
    ]
    assert any(
        line.startswith("incident t1-1 at verify (gate_refused): refused by gate 1") for line in thought
    )
    assert any("failed before: test_not_passing: test_wide.py::test_narrow" in line for line in thought)
    # The second incident is one more commit on the branch, and both attempts are told.
    assert [filed.incident_id for filed in facts_of(events, "t1", "incident_filed")] == ["t1-1", "t1-2"]
    forge = Path(await LocalForge(tmp_path / "data").remote(shop.url))
    assert shop.git("log", "--format=%s", "incident/t1", cwd=forge).splitlines() == [
        "Incident t1-2: Pad",
        "Incident t1-1: Pad",
    ]
    text = shop.git("show", "incident/t1:README.md", cwd=forge)
    assert "- verify 1, gates 1" in text
    assert "- verify 2, gates 1" in text


async def test_an_incident_that_cannot_be_written_as_it_should_be_still_ends_the_task(
    world: World, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Reporter, "_repository", breaks)
    await submit(world, "t1", shop.task(STALE))
    await world.settle()
    events = await sound(world)
    (given_up,) = facts_of(events, "t1", "task_given_up")
    assert given_up.report.reproduction.gave == "not_tried"
    assert "RuntimeError" in given_up.report.reproduction.detail
    text = (tmp_path / "data" / given_up.report.path / "README.md").read_text()
    assert "There is no script: it could not be written (RuntimeError)" in text


async def test_several_incidents_are_filed_though_one_script_takes_long(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    for number in range(1, 5):
        await submit(world, f"t{number}", shop.task(STALE if number > 1 else shop.patch({"wide.py": WRONG})))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert {end(events, f"t{number}") for number in range(1, 5)} == {"task_given_up"}
    assert all(
        filed.reproducible for event in events if (filed := event.event) and event.type == "incident_filed"
    )
