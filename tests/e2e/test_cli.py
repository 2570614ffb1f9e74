"""The command line: JSON for programs, plain lines for pipes, exit codes, the live stream, settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.stack import PROGRAM, Stack, until


@pytest.fixture(scope="module")
def simulated(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A simulated task that is done."""
    place = tmp_path_factory.mktemp("cli") / "simulated.yaml"
    place.write_text(
        "title: Nothing but a walk through the stages\n"
        "repos: [{name: none, url: /nowhere}]\n"
        "engine: noop\n"
        "synthetic: true\n"
    )
    [task_id] = stack.submit(place)
    assert stack.ended(task_id)["phase"] == "done"
    return task_id


def test_every_reading_command_speaks_json(stack: Stack, simulated: str) -> None:
    assert stack.json("status")["state"] == "ready"
    assert all(check["ok"] for check in stack.json("doctor"))
    assert simulated in [one["id"] for one in stack.json("tasks")]
    assert stack.json("task", simulated)["phase"] == "done"
    assert stack.json("tasks", "--phase", "cancelled", "--limit", "1") is not None
    assert stack.json("events", "--limit", "3")["events"]
    assert isinstance(stack.json("evidence", simulated), list)
    assert isinstance(stack.json("alerts"), list)
    assert stack.json("mode")["mode"] == "normal"
    assert stack.json("config", "show")["max_concurrent"] > 0
    assert stack.json("dlq", "list") == []


def test_without_a_terminal_output_is_plain(stack: Stack, simulated: str) -> None:
    for command in (
        ["tasks"],
        ["task", simulated],
        ["status"],
        ["events", "--limit", "5"],
        ["doctor"],
        ["--help"],
    ):
        done = stack.run(*command) if command != ["--help"] else stack.run("submit", "--help")
        assert done.returncode == 0, done
        assert "\x1b" not in done.stdout + done.stderr
        assert not set("╭│╰●") & set(done.stdout)
    rows = stack.run("tasks").stdout.splitlines()
    assert {row.count("\t") for row in rows} == {4}


def test_exit_codes(stack: Stack, simulated: str, tmp_path: Path) -> None:
    assert stack.run("task", simulated).returncode == 0
    for arguments in (
        ["task", "nobody"],
        ["evidence", "nobody"],
        ["events", "--task", "nobody"],
        ["cancel", simulated],
    ):
        done = stack.run(*arguments)
        assert done.returncode == 1, done
        assert done.stderr.startswith("autopilot: ")
    for arguments in (
        ["tasks", "--no-such-option"],
        ["tasks", "--phase", "asleep"],
        ["mode", "party"],
        ["config", "set", "colour=blue"],
        ["config", "set", "max_concurrent=0"],
        ["submit", tmp_path / "is-not-there.yaml"],
    ):
        assert stack.run(*arguments).returncode == 2, arguments


def test_without_a_stack_every_command_says_so(tmp_path: Path, stack: Stack) -> None:
    nothing = Stack(tmp_path / "nothing")
    task = tmp_path / "task.yaml"
    task.write_text(
        '{"title": "t", "engine": "noop", "synthetic": true, "repos": [{"name": "r", "url": "/r"}]}'
    )
    for arguments in (
        ["status"], ["tasks"], ["task", "t1"], ["cancel", "t1"], ["retry", "t1"], ["events"], ["events", "--follow"],
        ["evidence", "t1"], ["alerts"], ["mode"], ["config", "show"], ["config", "set", "max_concurrent=2"],
        ["dlq", "list"], ["submit", task],
    ):  # fmt: skip
        done = nothing.run(*arguments)
        assert done.returncode == 3, done
        assert "autopilot up" in done.stderr
    assert nothing.run("down").returncode == 0
    assert nothing.run("doctor").returncode == 0
    assert not nothing.data_dir.exists()


def test_events_follow_streams_what_happens(
    stack: Stack, tmp_path: Path, task_file: Callable[..., Path]
) -> None:
    following = stack.begin("events", "--follow", "--json", "--since", "0")
    try:
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())
        assert first["position"] == 1
        [task_id] = stack.submit(
            task_file("/nowhere", repo={"name": "none"}, engine="noop", synthetic=True, patch=None)
        )
        seen: list[str] = []
        for line in following.stdout:
            event = json.loads(line)
            if event["task_id"] == task_id:
                seen.append(event["type"])
            if seen and seen[-1] == "task_done":
                break
        assert seen[0] == "task_submitted"
    finally:
        following.send_signal(2)
        _, complaints = following.communicate(timeout=30)
    assert complaints == ""
    assert following.returncode == 0


def test_submit_wait_tells_the_end(stack: Stack, tmp_path: Path, task_file: Callable[..., Path]) -> None:
    good = task_file("/nowhere", engine="noop", synthetic=True, patch=None, title="A walk")
    done = stack.run("submit", good, "--wait")
    assert done.returncode == 0, done
    assert "done" in done.stdout.splitlines()[-1]
    bad = task_file(tmp_path / "no-repository")
    gone = stack.run("submit", bad, "--wait", "--json")
    assert gone.returncode == 1
    [ended] = json.loads(gone.stdout)
    assert ended["phase"] == "incident"
    assert "no-repository" in ended["reason"]


def test_a_setting_is_changed_while_running(stack: Stack) -> None:
    before = stack.json("config", "show")["max_concurrent"]
    try:
        assert stack.json("config", "set", "max_concurrent=3")["max_concurrent"] == 3
        assert stack.json("config", "show")["max_concurrent"] == 3
    finally:
        stack.json("config", "set", f"max_concurrent={before}")


def test_the_version_is_told() -> None:
    import subprocess

    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("autopilot 0.")


def test_stack_json_names_every_part(stack: Stack) -> None:
    state = until(lambda: stack.state, "stack.json")
    assert set(state["processes"]) >= {"postgres", "nats", "scheduler", "stage-runner", "gate", "dashboard"}
    assert not any("@" in address for address in state["addresses"].values())
