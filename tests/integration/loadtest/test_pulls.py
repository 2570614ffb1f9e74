"""What real tasks left on their forge: one pull request each, of the commit that the record names, and no other."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadtest.chaos.pulls import on_the_forge
from loadtest.checker.record import Record, Row


@pytest.fixture
def forge(tmp_path: Path) -> Path:
    """A bare repository with one commit, which `pull` opens pull requests of."""
    place = tmp_path / "shop.git"
    subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    return place


def pull(forge: Path, number: int) -> str:
    """Open a pull request; return its commit."""
    git = ["git", "-C", str(forge), "-c", "user.name=a", "-c", "user.email=a@b"]
    tree = _said([*git, "mktree"])
    commit = _said([*git, "commit-tree", "-m", f"change {number}", tree])
    subprocess.run([*git, "update-ref", f"refs/pull/{number}/head", commit], check=True)
    return commit


def done(task: str, *pulls: tuple[Path, int, str]) -> Row:
    """A task that is done, with pull requests."""
    opened = [
        {"url": f"file://{forge}#refs/pull/{number}/head", "number": number, "commit": commit}
        for forge, number, commit in pulls
    ]
    return Row(
        position=1,
        xid=1,
        stream=f"task-{task}",
        category="task",
        version=1,
        id="",
        type="task_done",
        schema_version=1,
        data={"task_id": task, "pull_requests": opened},
        meta={},
        prev_hash="",
        hash="",
        recorded_at=datetime.fromtimestamp(1, UTC),
    )


def test_a_pull_request_for_each_real_task_is_as_it_should_be(forge: Path) -> None:
    record = Record(events=[done("a", (forge, 1, pull(forge, 1))), done("simulated")])
    assert list(on_the_forge(record, ["a"])) == []


def test_a_real_task_that_ended_without_one_or_with_two_is_named(forge: Path) -> None:
    first, second = pull(forge, 1), pull(forge, 2)
    record = Record(events=[done("a", (forge, 1, first), (forge, 2, second))])
    assert list(on_the_forge(record, ["a", "b"])) == [
        "a has 2 pull requests instead of one",
        "b has 0 pull requests instead of one",
    ]


def test_one_that_nobody_recorded_or_of_another_commit_is_named(forge: Path) -> None:
    mine, extra = pull(forge, 1), pull(forge, 2)
    (unrecorded,) = on_the_forge(Record(events=[done("a", (forge, 1, mine))]), ["a"])
    assert unrecorded == f"pull request 2 of shop.git: the forge has {extra}, the record None"
    changed, _ = on_the_forge(Record(events=[done("a", (forge, 1, extra))]), ["a"])
    assert changed == f"pull request 1 of shop.git: the forge has {mine}, the record {extra}"


def _said(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip()
