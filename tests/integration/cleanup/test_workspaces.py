"""Workspaces go when their task has ended, and never while it goes on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from contracts.message import Event
from contracts.task import TaskCancelled, TaskDone, TaskGivenUp, TaskRetried
from libs.eventstore.store import StoreUnavailableError
from libs.git.broker import Broker
from libs.git.error import LockTimeoutError
from libs.git.mirror import Mirror
from services.cleanup.handlers import AGAIN_S, GRACE_S
from tests.integration.cleanup.scene import Scene

DONE = TaskDone(task_id="t1", pull_requests=(), approvals=())
GIVEN_UP = TaskGivenUp(task_id="t1", incident_id="i1", reason="nothing left to try")
RETRIED = TaskRetried(task_id="t1", actor="ada")
ENDS: list[Event] = [DONE, TaskCancelled(task_id="t1", actor="ada"), GIVEN_UP]


@pytest.fixture
def workspace(scene: Scene) -> Path:
    """Two runs of a task in two repositories, a symlink out of it and a directory that may not be changed."""
    place = scene.data_dir / "work" / "t1"
    for run in ("t1-implement-1", "t1-verify-1"):
        (place / run / "repo").mkdir(parents=True)
        (place / run / "repo" / "file.py").write_text("x" * 10_000)
    (scene.data_dir / "elsewhere").mkdir()
    (scene.data_dir / "elsewhere" / "kept").write_text("of somebody else")
    (place / "link").symlink_to(scene.data_dir / "elsewhere")
    (place / "t1-verify-1" / "repo").chmod(0o500)
    return place


def left(scene: Scene) -> list[str]:
    return sorted(path.name for path in (scene.data_dir / "work").rglob("*") if path.name != ".removed")


@pytest.mark.parametrize("end", ENDS)
async def test_the_workspace_of_an_ended_task_goes_after_a_grace(
    scene: Scene, workspace: Path, end: Event
) -> None:
    (scene.data_dir / "work" / "t2").mkdir()
    await scene.record(scene.submitted("t1"), end)
    await scene.world.pass_time(GRACE_S - 1)
    assert workspace.exists()
    await scene.world.pass_time(1)
    assert left(scene) == ["t2"]
    assert (scene.data_dir / "elsewhere" / "kept").read_text() == "of somebody else"
    (removed,) = await scene.of_type("workspace_removed")
    assert (removed.task_id, removed.freed >= 20_000) == ("t1", True)
    await scene.world.pass_time(3_600)
    assert len(await scene.of_type("workspace_removed")) == 1


async def test_a_task_that_is_retried_keeps_its_workspace_until_it_ends_again(
    scene: Scene, workspace: Path
) -> None:
    await scene.record(scene.submitted("t1"), GIVEN_UP)
    await scene.record(RETRIED)
    assert await scene.world.store.next_timer("cleanup") is None
    await scene.world.pass_time(3_600)
    assert (workspace / "t1-implement-1" / "repo" / "file.py").exists()
    await scene.record(DONE)
    await scene.world.pass_time(GRACE_S)
    assert left(scene) == []
    assert len(await scene.of_type("workspace_removed")) == 1


async def test_a_retry_whose_news_has_not_come_yet_is_respected(scene: Scene, workspace: Path) -> None:
    await scene.record(scene.submitted("t1"), GIVEN_UP)
    await scene.record(RETRIED, settle=False)
    scene.world.clock.advance(GRACE_S)
    assert await scene.world._timekeeping["cleanup"].step() == 1
    assert (workspace / "t1-implement-1" / "repo" / "file.py").exists()
    await scene.world.pass_time(3_600)
    assert await scene.of_type("workspace_removed") == []


async def test_every_end_of_a_retried_task_removes_and_is_recorded(scene: Scene, workspace: Path) -> None:
    await scene.record(scene.submitted("t1"), GIVEN_UP)
    await scene.world.pass_time(GRACE_S)
    await scene.record(RETRIED)
    workspace.mkdir()
    await scene.record(DONE)
    await scene.world.pass_time(GRACE_S)
    assert left(scene) == []
    assert len(await scene.of_type("workspace_removed")) == 2


async def test_a_crash_before_the_record_removes_again_and_records_once(
    scene: Scene, workspace: Path
) -> None:
    await scene.record(scene.submitted("t1"), DONE)
    # As left by a process that died between the renaming and the removal.
    doomed = scene.data_dir / "work" / ".removed" / "t1-2"
    doomed.parent.mkdir()
    workspace.rename(doomed)
    await scene.world.crash("cleanup")
    await scene.world.start("cleanup")
    await scene.world.pass_time(GRACE_S)
    assert left(scene) == []
    (removed,) = await scene.of_type("workspace_removed")
    assert removed.freed >= 20_000


async def test_a_task_without_a_workspace_leaves_nothing_to_do(scene: Scene) -> None:
    await scene.record(scene.submitted("t1"), DONE)
    await scene.world.pass_time(GRACE_S)
    (removed,) = await scene.of_type("workspace_removed")
    assert removed.freed == 0


async def test_a_workspace_that_is_a_symlink_is_unlinked_and_its_target_stays(scene: Scene) -> None:
    (scene.data_dir / "target").mkdir()
    (scene.data_dir / "target" / "kept").write_text("kept")
    (scene.data_dir / "work").mkdir()
    (scene.data_dir / "work" / "t1").symlink_to(scene.data_dir / "target")
    await scene.record(scene.submitted("t1"), DONE)
    await scene.world.pass_time(GRACE_S)
    assert left(scene) == []
    assert (scene.data_dir / "target" / "kept").exists()


async def test_simulated_work_is_removed_but_never_counted(scene: Scene, workspace: Path) -> None:
    await scene.record(scene.submitted("t1"), DONE, synthetic=True)
    await scene.world.pass_time(GRACE_S)
    assert left(scene) == []
    assert await scene.of_type("workspace_removed") == []


async def test_the_mirror_forgets_the_worktrees_too(scene: Scene, tmp_path: Path) -> None:
    source = tmp_path / "source"
    git = ["git", "-C", str(source), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "init", "-q", str(source)], check=True)
    (source / "file").write_text("content")
    for command in (["add", "file"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    mirror = await Broker(scene.data_dir).mirror(str(source))
    commit = await mirror.resolve("HEAD")
    places = [scene.data_dir / "work" / task / "run" / "r0" for task in ("t1", "t2")]
    for place in places:
        await mirror.add_worktree(place, commit)
    await scene.record(scene.submitted("t1", str(source)), DONE)
    await scene.world.pass_time(GRACE_S)
    assert [mirror.worktree(place) is not None for place in places] == [False, True]
    assert [place.exists() for place in places] == [False, True]


async def test_a_mirror_that_is_in_use_delays_the_removal(
    scene: Scene, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = scene.data_dir / "mirrors" / f"{Broker.repo_key('/busy')}.git"
    source.mkdir(parents=True)

    async def busy(*_: object) -> None:
        raise LockTimeoutError(source, 20)

    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "remove_worktree", busy)
        await scene.record(scene.submitted("t1", "/busy"), DONE)
        await scene.world.pass_time(GRACE_S)
    assert await scene.of_type("workspace_removed") == []
    await scene.world.pass_time(AGAIN_S)
    assert left(scene) == []
    (removed,) = await scene.of_type("workspace_removed")
    assert removed.freed >= 20_000


async def test_nothing_goes_while_the_record_cannot_be_asked(
    scene: Scene, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.record(scene.submitted("t1"), DONE)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(scene.world.store, "read_stream", away)
        scene.world.clock.advance(GRACE_S)
        with pytest.raises(StoreUnavailableError):
            await scene.world._timekeeping["cleanup"].step()
    assert workspace.exists()
    await scene.world.settle()
    assert left(scene) == []
