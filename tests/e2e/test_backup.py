"""A stack is backed up in the middle of a task; a new one, made from that, finishes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e.latch import Latch
from tests.e2e.stack import Stack, running_with, until


def test_a_task_that_was_backed_up_in_the_middle_is_finished_by_the_restored_stack(
    stack: Stack, repository: Path, task_file: Callable[..., Path], tmp_path: Path
) -> None:
    latch = Latch(tmp_path / f"latch-{tmp_path.name}")
    [task_id] = stack.submit(task_file(repository, repo=latch.repo()))
    stack.started(task_id, "workspace")
    until(lambda: running_with(latch.name), "the setup command of the held task")
    file = tmp_path / "backup.gz"
    rows = stack.json("backup", file)["rows"]
    assert rows["events"] > 0
    assert rows["file"] > 0
    latch.open()
    assert stack.ended(task_id)["phase"] == "done"

    other = Stack(tmp_path / "restored here")
    restored = other.run("restore", file, "--public-key", stack.secret("journal-public-key"))
    assert restored.returncode == 0, restored
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert other.run("restore", file).returncode == 2
    begun = other.run("up", "--detach", "--ephemeral-ports")
    assert begun.returncode == 0, begun
    try:
        assert other.ended(task_id)["phase"] == "done"
        # The run that was under way began again; nothing was done twice.
        assert [one["type"] for one in other.events(task_id)].count("task_done") == 1
        assert len(other.task(task_id)["pull_requests"]) == 1
        assert other.json("evidence", task_id)
        past = other.json("replay", "--task", task_id)
        assert (past["event"], past["state"]["phase"]) == ("task_done", "done")
        verdict = other.json("journal", "verify")
        assert verdict["ok"]
        assert verdict["events"] > rows["events"]
        assert verdict["key"] == other.secret("journal-public-key") != stack.secret("journal-public-key")
    finally:
        other.client.close()
        stopped = other.run("down")
        assert stopped.returncode == 0, stopped
