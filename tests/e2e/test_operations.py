"""Who steers the scheduler from the command line: queues, draining, classes, limits; and what waits says why."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.latch import Latch
from tests.e2e.stack import DEADLINE_S, Stack, until
from tests.e2e.test_batches import NOOP


@pytest.fixture
def as_before(stack: Stack) -> Iterator[None]:
    """Whatever happens in a test, nobody finds the stack drained, paused or full."""
    yield
    undo = [["drain", "--undo"], ["queue", "resume", "till"], ["config", "set", "max_queued=10000"]]
    assert [done.returncode for done in stack.run_all(*undo)] == [0, 0, 0]


@pytest.mark.usefixtures("as_before")
def test_what_waits_says_why_and_people_steer_it(stack: Stack, tmp_path: Path) -> None:
    login = getpass.getuser()
    drained = stack.run("drain", "--wait", "--reason", "new disks", "--json")
    assert drained.returncode == 0, drained
    told = json.loads(drained.stdout)
    # What earlier tests have left keeps its place: tasks that have lost what they depend on.
    before = told.pop("waiting")
    assert told == {"draining": True, "actor": login, "reason": "new disks", "running": 0}
    tasks: list[dict[str, Any]] = [
        {**NOOP, "key": "a", "queue": "till"},
        {**NOOP, "key": "b", "queue": "till", "depends_on": ["a"]},
    ]
    file = tmp_path / "tasks.yaml"
    file.write_text("\n---\n".join(json.dumps(task) for task in tasks))
    a, b = stack.submit(file)

    paused, queues, first, second = stack.run_all(
        ["queue", "pause", "till", "--reason", "stock-taking"], ["queues", "--json"], ["task", a], ["task", b]
    )
    assert paused.stdout == f"queue till: weight 1, 2 wait, 0 run, paused by {login}: stock-taking\n"
    [till] = [one for one in json.loads(queues.stdout) if one["name"] == "till"]
    assert till["waiting"] == 2
    assert f"no slot is given: the scheduler is draining, by {login} (new disks)" in first.stdout
    assert f"waits for {a} (queued)" in second.stdout

    batch = stack.json("task", a)["batch"]
    shown, moved, weighed = stack.run_all(
        ["batch", batch], ["reprioritise", a, "urgent"], ["queue", "weight", "till", "2"]
    )
    assert f"a ({a}, queued) holds up 1\n" in shown.stdout
    assert moved.stdout == f"{a} is urgent, and queued\n"
    assert "weight 2" in weighed.stdout
    assert stack.run("queue", "weight", "till", "1").returncode == 0

    most = before + 2
    assert stack.json("config", "set", f"max_queued={most}")["max_queued"] == most
    third = tmp_path / "third.yaml"
    third.write_text(json.dumps(NOOP))
    full = stack.run("submit", third)
    assert (full.returncode, full.stdout) == (1, "")
    assert f"{most} tasks wait, and at most {most} may" in full.stderr
    assert "--even-if-full" in full.stderr
    accepted = stack.run("submit", third, "--even-if-full", "--json")
    assert accepted.returncode == 0, accepted
    [c] = [one["id"] for one in json.loads(accepted.stdout)]

    stack.run_all(["queue", "resume", "till"], ["drain", "--undo"])
    assert {stack.ended(task_id)["phase"] for task_id in (a, b, c)} == {"done"}
    assert stack.json("batch", batch)["phases"] == {"done": 2}
    kinds = [
        "queue_paused",
        "queue_resumed",
        "queue_weight_changed",
        "admission_held",
        "backlog_limit_changed",
    ]
    chosen = [argument for kind in (*kinds, "task_priority_changed") for argument in ("--type", kind)]
    # Users of earlier tests did such things, too.
    events = stack.json("events", "--limit", "500", *chosen)["events"]
    ours = {one["type"] for one in events if one["data"]["actor"] == login}
    assert ours == {*kinds, "task_priority_changed"}


@pytest.mark.usefixtures("as_before")
def test_drain_waits_until_what_runs_has_come_to_its_end(
    stack: Stack, repository: Path, task_file: Callable[..., Path], tmp_path: Path
) -> None:
    latch = Latch(tmp_path / f"latch-{tmp_path.name}")
    [task_id] = stack.submit(task_file(repository, repo=latch.repo()))
    stack.started(task_id, "spec")
    draining = stack.begin("drain", "--wait")
    assert draining.stdout is not None
    assert draining.stdout.readline().startswith("No task starts any more; 1 run, ")
    assert draining.poll() is None
    latch.open()
    assert stack.ended(task_id)["phase"] == "done"
    said, complaints = draining.communicate(timeout=DEADLINE_S)
    assert (draining.returncode, complaints) == (0, "")
    assert said.startswith("No task starts any more; 0 run")


def test_what_cannot_be_done_is_said_and_changes_nothing(stack: Stack) -> None:
    misused: list[list[str]] = [
        *(
            ["queue", "weight", "till", "0"],
            ["queue", "pause", "no queue"],
            ["queue", "weight", "till", "much"],
        ),
        *(["reprioritise", "t1", "asap"], ["drain", "--undo", "--wait"], ["config", "set", "max_queued=0"]),
    ]
    failed = [["batch", "bnothing"], ["reprioritise", "tnobody", "low"], ["task", "tnobody"]]
    done = stack.run_all(*misused, *failed)
    assert [one.returncode for one in done] == [2] * len(misused) + [1] * len(failed), done
    assert "weight" in done[0].stderr
    assert until(lambda: stack.json("drain", "--undo"), "an answer")["draining"] is False
