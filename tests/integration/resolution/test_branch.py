"""Incidents as a branch of the forge: what a clean clone holds, what comes on top of it, what is left alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts.resolution import IncidentOpened, IncidentWritten
from contracts.task import Reproduction
from libs.forge.local import LocalForge
from libs.git.broker import Broker
from services.resolution.adapters.branch import Branches, Place
from services.resolution.adapters.reporter import Written
from tests.integration.resolution.case import WHEN, Case, run

PATCH = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


class Desk:
    """What files the incidents of a case in its forge."""

    def __init__(self, case: Case) -> None:
        self.case, self.forge = case, LocalForge(case.data)
        self.branches = Branches(case.data, self.forge)

    async def incident(self, number: int = 1) -> tuple[IncidentOpened, Written]:
        """An incident that costs no test run: a patch that does not apply."""
        opened = self.case.incident(patch=PATCH, label="patch_does_not_apply", receipts=(), findings=())
        opened = msgspec.structs.replace(opened, incident_id=f"t1-{number}")
        return opened, await self.case.written(opened)

    async def push(self, opened: IncidentOpened, made: Written, place: Place) -> tuple[str, str]:
        """Push what was committed."""
        written = IncidentWritten(
            incident_id=opened.incident_id,
            task_id="t1",
            path=f"incidents/{opened.incident_id}",
            reproduction=made.reproduction,
            **msgspec.structs.asdict(place),
        )
        return await self.branches.push(opened, written)

    async def head(self) -> str | None:
        """Where the branch is."""
        return await self.forge.branch_head(str(self.case.source), "incident/t1")

    async def clone(self, place: Path, *options: str) -> Path:
        """Clone the branch as a person does."""
        address = Path(await self.forge.remote(str(self.case.source))).as_uri()
        self.case.git(
            "clone", "-q", "-b", "incident/t1", *options, address, str(place), cwd=self.case.source.parent
        )
        return place


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Case(tmp_path))


@pytest.mark.parametrize("options", [(), ("--single-branch",), ("--depth", "1")])
async def test_a_clean_clone_is_enough_to_run_the_script(
    desk: Desk, tmp_path: Path, options: tuple[str, ...]
) -> None:
    opened, made = await desk.incident()
    place = await desk.branches.commit(opened, made, WHEN, frozenset())
    address, unpublished = await desk.push(opened, made, place)
    assert (unpublished, await desk.head()) == ("", place.commit)
    assert address == await desk.forge.remote(str(desk.case.source))
    clone = await desk.clone(tmp_path / "clone", *options)
    # Nothing but the forge is left.
    desk.case.source.rename(tmp_path / "away")
    (desk.case.data / "incidents").rename(tmp_path / "away too")
    assert {path.name for path in clone.iterdir()} >= {"README.md", "incident.json", "reproduce", "repos"}
    assert not list(clone.rglob("*.bundle"))
    done = run(clone, tmp_path / "work")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "The patch does not apply." in done.stdout


async def test_the_branch_cannot_be_merged_by_mistake(desk: Desk, tmp_path: Path) -> None:
    opened, made = await desk.incident()
    await desk.push(opened, made, await desk.branches.commit(opened, made, WHEN, frozenset()))
    address = await desk.forge.remote(str(desk.case.source))
    desk.case.git("fetch", "-q", address, "incident/t1")
    assert "unrelated histories" in desk.case.git("merge", "FETCH_HEAD", fails=True)


async def test_the_same_incident_is_the_same_commit_and_is_pushed_once(desk: Desk) -> None:
    opened, made = await desk.incident()
    first = await desk.branches.commit(opened, made, WHEN, frozenset())
    assert await desk.branches.commit(opened, made, WHEN, frozenset()) == first
    for _ in range(2):
        assert (await desk.push(opened, made, first))[1] == ""
    assert await desk.head() == first.commit
    # A process that died behind the push finds its own commit there.
    later = Branches(desk.case.data, desk.forge)
    written = IncidentWritten(
        incident_id="t1-1",
        task_id="t1",
        path="p",
        reproduction=Reproduction(gave="as_recorded"),
        **msgspec.structs.asdict(first),
    )
    assert (await later.push(opened, written))[1] == ""
    assert await desk.head() == first.commit


async def test_another_incident_of_the_task_is_one_more_commit(desk: Desk, tmp_path: Path) -> None:
    first, made = await desk.incident(1)
    one = await desk.branches.commit(first, made, WHEN, frozenset())
    await desk.push(first, made, one)
    second, made = await desk.incident(2)
    two = await desk.branches.commit(second, made, WHEN, frozenset({one.commit}))
    assert two.parent == one.commit
    assert (await desk.push(second, made, two))[1] == ""
    clone = await desk.clone(tmp_path / "clone")
    titles = desk.case.git("log", "--format=%s", cwd=clone).splitlines()
    assert titles == ["Incident t1-2: t", "Incident t1-1: t"]
    assert run(clone, tmp_path / "work").returncode == 1
    assert desk.case.git("log", "-1", "--format=%an %at", cwd=clone) == f"Autopilot {WHEN.timestamp():.0f}"


async def test_what_somebody_else_put_on_the_branch_is_left_alone(desk: Desk) -> None:
    first, made = await desk.incident(1)
    one = await desk.branches.commit(first, made, WHEN, frozenset())
    address = await desk.forge.remote(str(desk.case.source))
    desk.case.git("push", "-q", address, f"{desk.case.base}:refs/heads/incident/t1")
    _, unpublished = await desk.push(first, made, one)
    assert "save that work and delete it" in unpublished
    place = await desk.branches.commit(first, made, WHEN, frozenset({one.commit}))
    assert place.commit == ""
    assert "which no incident of this task has put there" in place.unpublished
    assert await desk.head() == desk.case.base


async def test_without_a_clone_of_the_repository_there_is_no_branch_and_a_reason(desk: Desk) -> None:
    opened, made = await desk.incident()
    place = await Branches(desk.case.data / "other", desk.forge).commit(opened, made, WHEN, frozenset())
    assert (place.commit, place.branch) == ("", "")
    assert "no clone" in place.unpublished


async def test_a_forge_that_cannot_be_written_costs_the_branch_and_not_the_incident(desk: Desk) -> None:
    opened, made = await desk.incident()
    place = await desk.branches.commit(opened, made, WHEN, frozenset())
    mirror = Broker(desk.case.data).existing(str(desk.case.source))
    assert mirror is not None
    mirror.path.rename(mirror.path.with_name("gone"))
    address, unpublished = await desk.push(opened, made, place)
    assert address == ""
    assert "is gone" in unpublished
