"""What a person does to a running task: cancel it, stop everything, go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.latch import Latch
from tests.e2e.stack import Stack, running_with, until

#: Seconds within which a cancelled task has ended.
PROMISED_S = 5.0


@pytest.fixture
def latch(tmp_path: Path) -> Latch:
    """Holds the workspace of a task: its set-up."""
    return Latch(tmp_path / f"latch-{tmp_path.name}")


@pytest.fixture
def held(stack: Stack, repository: Path, task_file: Callable[..., Path], latch: Latch) -> str:
    """A task whose workspace is under way and will not end by itself."""
    [task_id] = stack.submit(task_file(repository, repo=latch.repo()))
    stack.started(task_id, "workspace")
    until(lambda: running_with(latch.name), "the setup command of the held task")
    return task_id


def test_cancel_kills_the_processes_and_removes_the_worktree_and_retry_goes_on(
    stack: Stack, held: str, latch: Latch
) -> None:
    work = stack.data_dir / "work" / held
    assert work.exists()
    done = stack.run("cancel", held, "--reason", "changed my mind")
    assert done.returncode == 0, done

    assert stack.ended(held)["phase"] == "cancelled"
    assert running_with(latch.name) == []
    until(lambda: not work.exists(), "the worktree of a cancelled task to be removed")
    events = stack.events(held)
    times = {one["type"]: datetime.fromisoformat(one["time"]) for one in events}
    took = times["task_cancelled"] - times["task_cancel_requested"]
    assert took.total_seconds() <= PROMISED_S
    [asked] = [one for one in events if one["type"] == "task_cancel_requested"]
    assert asked["data"]["reason"] == "changed my mind"

    # And then they change their mind again.
    assert stack.json("retry", held)["id"] == held
    latch.open()
    until(lambda: stack.task(held)["phase"] == "done", "a retried task to be done")
    assert stack.run("cancel", held).returncode == 1


def test_an_emergency_stop_parks_what_runs_and_normal_finishes_it(
    stack: Stack, held: str, latch: Latch
) -> None:
    try:
        assert stack.json("mode", "emergency-stop", "--reason", "smoke in the server room")["mode"] == (
            "emergency-stop"
        )
        until(lambda: stack.task(held)["phase"] == "parked", "the task to be parked")
        until(lambda: not running_with(latch.name), "the held command to be killed")
        assert stack.json("mode")["mode"] == "emergency-stop"
        latch.open()
    finally:
        assert stack.json("mode", "normal")["mode"] == "normal"
    assert stack.ended(held)["phase"] == "done"

    def resolved() -> bool:
        raised = [one for one in stack.json("alerts") if one["rule"] == "emergency_stop"]
        return bool(raised) and all(one["resolved_at"] for one in raised)

    until(resolved, "the alert of the emergency stop to be resolved")
