"""The command line: JSON for programs, plain lines for pipes, exit codes, the live stream, settings."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from tests.e2e.stack import DEADLINE_S, PROGRAM, Stack, until


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
    commands = [
        *(["status"], ["tasks"], ["task", simulated], ["tasks", "--phase", "cancelled", "--limit", "1"]),
        *(["events", "--limit", "3"], ["evidence", simulated], ["alerts"], ["mode"], ["config", "show"]),
        *(["dlq", "list"], ["doctor"]),
    ]
    answers = stack.run_all(*[[*command, "--json"] for command in commands])
    status, tasks, task, few, events, evidence, alerts, mode, config, dead, checks = (
        json.loads(answer.stdout) for answer in answers
    )
    # A full disk of this machine is no fault of the command line.
    assert [answer.returncode for answer in answers[:-1]] == [0] * (len(commands) - 1)
    assert status["state"] == "ready"
    assert simulated in [one["id"] for one in tasks]
    assert task["phase"] == "done"
    assert all(one["phase"] == "cancelled" for one in few)
    assert len(events["events"]) == 3
    assert isinstance(evidence, list)
    assert isinstance(alerts, list)
    assert mode["mode"] == "normal"
    assert config["max_concurrent"] > 0
    assert dead == []
    assert {"git", "sandbox", "disk"} <= {check["name"] for check in checks}


def test_without_a_terminal_output_is_plain(stack: Stack, simulated: str) -> None:
    commands = [["tasks"], ["task", simulated], ["status"], ["events", "--limit", "5"], ["doctor"]]
    done = stack.run_all(*commands, ["submit", "--help"], ["tasks", "--no-such-option"])
    for one in done:
        said = one.stdout + one.stderr
        assert said
        assert "\x1b" not in said
        assert not set("╭│╰●") & set(said)
    rows = done[0].stdout.splitlines()
    assert {row.count("\t") for row in rows} == {4}


def test_exit_codes(stack: Stack, simulated: str, tmp_path: Path) -> None:
    failed = [
        *(["task", "nobody"], ["evidence", "nobody"], ["events", "--task", "nobody"], ["cancel", simulated]),
    ]
    misused: list[list[Any]] = [
        *(["tasks", "--no-such-option"], ["tasks", "--phase", "asleep"], ["mode", "party"]),
        *(["config", "set", "colour=blue"], ["config", "set", "max_concurrent=0"]),
        ["submit", tmp_path / "is-not-there.yaml"],
    ]
    done = stack.run_all(*failed, *misused)
    assert [one.returncode for one in done] == [1] * len(failed) + [2] * len(misused), done
    assert all(one.stderr.startswith("autopilot: ") for one in done[: len(failed)]), done


def test_without_a_stack_every_command_says_so(tmp_path: Path, stack: Stack) -> None:
    nothing = Stack(tmp_path / "nothing")
    file = tmp_path / "task.yaml"
    file.write_text(
        '{"title": "t", "engine": "noop", "synthetic": true, "repos": [{"name": "r", "url": "/r"}]}'
    )
    commands: list[list[Any]] = [
        *(["status"], ["tasks"], ["task", "t1"], ["cancel", "t1"], ["retry", "t1"], ["events"]),
        *(["events", "--follow"], ["evidence", "t1"], ["alerts"], ["mode"], ["mode", "normal"]),
        *(["config", "show"], ["config", "set", "max_concurrent=2"], ["dlq", "list"], ["submit", file]),
        *(["queues"], ["queue", "pause", "q"], ["batch", "b1"], ["reprioritise", "t1", "low"], ["drain"]),
    ]
    for done in nothing.run_all(*commands):
        assert done.returncode == 3, done
        assert "autopilot up" in done.stderr
    assert nothing.run("down").returncode == 0
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
        _, complaints = following.communicate(timeout=DEADLINE_S)
    assert complaints == ""
    assert following.returncode == 0


def test_events_read_as_they_do_on_the_bus(stack: Stack, simulated: str) -> None:
    task = ["events", "--task", simulated]
    chosen = [*task, "--type", "gate_*", "--type", "task_done", "--json"]
    listed, few, full = stack.run_all([*task, "--json"], chosen, [*task, "--limit", "1", "--full"])
    everything = json.loads(listed.stdout)["events"]
    kinds = [one["type"] for one in json.loads(few.stdout)["events"]]
    assert kinds == [
        one["type"] for one in everything if one["type"].startswith("gate_") or one["type"] == "task_done"
    ]
    assert kinds[-1] == "task_done"
    head, *headers = full.stdout.split("\n\n")[0].splitlines()
    first = everything[0]
    assert head == f"[#{first['position']}] autopilot.v1.task.{simulated}.task_submitted"
    assert first["subject"] == f"autopilot.v1.task.{simulated}.task_submitted"
    assert {f"ce-id: {first['id']}", f"ce-subject: task-{simulated}", f"ce-hash: {first['hash']}"} <= set(
        headers
    )
    assert json.loads(full.stdout.split("\n\n")[1]) == first["data"]

    one, as_json, unknown = stack.run_all(
        ["events", "get", first["id"]], ["events", "get", first["id"], "--json"], ["events", "get", "nothing"]
    )
    assert one.stdout == full.stdout
    assert json.loads(as_json.stdout) == first
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no event 'nothing'" in unknown.stderr


def test_what_the_bus_shows_an_observer_is_what_the_command_shows(stack: Stack, tmp_path: Path) -> None:
    password = (stack.data_dir / "secrets" / "nats-observer").read_text().strip()
    file = tmp_path / "walk.yaml"
    file.write_text(
        "title: Seen by an observer\nrepos: [{name: none, url: /nowhere}]\nengine: noop\nsynthetic: true\n"
    )

    async def watch() -> tuple[str, list[Msg]]:
        heard: list[Msg] = []
        done = asyncio.Event()

        async def hear(message: Msg) -> None:
            heard.append(message)
            if message.subject.endswith(".task_done"):
                done.set()

        url = json.loads((stack.data_dir / "stack.json").read_text())["addresses"]["nats"]
        client = await nats.connect(url, user="observer", password=password)
        await client.subscribe("autopilot.v1.>", cb=hear)
        await client.flush()
        [task_id] = await asyncio.to_thread(stack.submit, file)
        await asyncio.wait_for(done.wait(), DEADLINE_S)
        await client.close()
        return task_id, heard

    task_id, heard = asyncio.run(watch())
    (message,) = (each for each in heard if each.subject == f"autopilot.v1.task.{task_id}.task_done")
    assert message.headers is not None
    shown = stack.run("events", "get", message.headers["ce-id"]).stdout.split("\n\n")
    assert shown[0].splitlines() == [
        f"[#{message.headers['ce-position']}] {message.subject}",
        *(f"{name}: {value}" for name, value in message.headers.items()),
    ]
    assert shown[1] == message.data.decode()


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
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("autopilot 0.")


def test_stack_json_names_every_part(stack: Stack) -> None:
    state = until(lambda: stack.state, "stack.json")
    assert set(state["processes"]) >= {"postgres", "nats", "scheduler", "stage-runner", "gate", "dashboard"}
    assert not any("@" in address for address in state["addresses"].values())


def test_a_read_model_is_rebuilt_and_compared_while_the_stack_runs(stack: Stack, simulated: str) -> None:
    before = stack.run("task", simulated, "--json")
    rebuilt = stack.run("rebuild", "dashboard")
    checked, nameless, unknown = stack.run_all(
        ["rebuild", "--all", "--check", "--json"], ["rebuild"], ["rebuild", "board"]
    )
    assert rebuilt.returncode == 0, rebuilt
    assert "events in" in rebuilt.stdout
    assert checked.returncode == 0, checked
    job = json.loads(checked.stdout)["dashboard"]
    assert (job["state"], job["differences"]) == ("done", 0)
    assert job["compared"] > 0
    assert stack.run("task", simulated, "--json").stdout == before.stdout
    for wrong in (nameless, unknown):
        assert wrong.returncode == 2
        assert "there are: dashboard" in wrong.stderr
