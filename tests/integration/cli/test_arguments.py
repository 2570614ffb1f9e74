"""What people type at commands that speak to the task API: each ends with a sentence and its exit code, whatever was typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from autopilot.cli import show, tasks
from autopilot.cli.client import _login
from autopilot.cli.failure import CliError
from autopilot.cli.main import app
from autopilot.stack import status
from tests.integration.dashboard.taskapi import TaskApi
from tests.integration.dashboard.world import API_TOKEN, World

# A program's connections end with it; these are left to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: Exit code and what was said.
Run = Callable[..., Awaitable[tuple[int, str]]]


def ended(data_dir: Path, *given: str) -> tuple[int, str]:
    """Run a command as the program does; anything but its own errors is a fault."""
    done = CliRunner().invoke(app, list(given), env={"AUTOPILOT_DATA_DIR": str(data_dir)})
    if isinstance(done.exception, CliError):
        return done.exception.code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.output


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[TaskApi]:
    """A task API that answers, and a data directory that leads to it."""
    world = World(tmp_path)
    api = TaskApi(world)
    await api.start()
    found = status.StackStatus(
        pid=0,
        identity="",
        run_id="",
        state="ready",
        started_at=status.now(),
        data_dir=str(tmp_path),
        addresses={"scheduler": api.listening.url, "dashboard": api.listening.url},
        ports={},
        processes={},
    )
    status.write(tmp_path / "stack.json", found)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-token").write_text(API_TOKEN)
    yield api
    await api.stop()


@pytest.fixture
def run(api: TaskApi, tmp_path: Path) -> Run:
    """Runs a command beside the API."""
    return lambda *given: asyncio.to_thread(ended, tmp_path, *given)


OF_A_TASK = (
    ("task", "{}"),
    ("cancel", "{}"),
    ("retry", "{}"),
    ("reprioritise", "{}", "low"),
    ("budget", "{}", "5000"),
    ("evidence", "{}"),
)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "t1/events", "t1?x=1", "t1#x", "t1%2Fevents", "é", "a\nb", " "]
)
async def test_what_cannot_be_a_tasks_name_is_no_task(run: Run, api: TaskApi, name: str) -> None:
    for command in OF_A_TASK:
        code, said = await run(*(part.format(name) for part in command))
        if command[0] == "budget" and not name:
            assert (code, "go together" in said) == (2, True), said
        else:
            assert (code, "there is no task" in said) == (1, True), (command, said)


@pytest.mark.parametrize(
    "given",
    [
        ("budget", "hour", "²"),
        ("budget", "hour", "٣٣"),
        ("budget", "hour", "9" * 5_000),
        ("budget", "hour", "-1"),
        ("config", "set", "max_queued=" + "9" * 5_000),
        ("config", "set", "max_concurrent=²"),
        ("config", "set", "max_concurrent=0"),
        ("queue", "weight", "shop", "0"),
        ("queue", "pause", "shop\n"),
        ("queue", "pause", "../x"),
        ("queue", "pause", ""),
        ("mode", "normal", "--reason", "x" * 1_001),
        ("tasks", "--phase", "asleep"),
    ],
    ids=lambda given: " ".join(given)[:40],
)
async def test_what_makes_no_sense_is_a_usage_error(run: Run, given: tuple[str, ...]) -> None:
    code, said = await run(*given)
    assert code == 2, said


async def test_tasks_in_a_phase_are_found_behind_newer_ones_in_another(
    run: Run, api: TaskApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PAGE", 4)
    await api.call("PUT", "/v1/config", {"max_concurrent": 1})
    running = await api.submit("the oldest")
    waiting = [await api.submit(f"waits {number}") for number in range(10)]
    code, said = await run("tasks", "--phase", "running")
    assert (code, [line.split("\t")[0] for line in said.splitlines()]) == (0, ["task", running])
    code, said = await run("tasks", "--phase", "queued", "--limit", "6")
    assert [line.split("\t")[0] for line in said.splitlines()[1:]] == waiting[:3:-1]
    monkeypatch.setattr(tasks, "LOOKED_THROUGH", 8)
    code, said = await run("tasks", "--phase", "running")
    assert (code, "the latest 8 tasks were looked through" in said) == (0, True)
    assert (await run("tasks", "--phase", "suspending"))[0] == 0


async def test_what_a_task_says_cannot_steer_a_terminal(run: Run, api: TaskApi) -> None:
    task_id = await api.submit("\x1b[2J\x1b]0;owned\x07 gone \u202eback\x9b31m")
    for command in (("tasks",), ("task", task_id)):
        code, said = await run(*command)
        assert code == 0
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(said)
        assert "␛[2J␛]0;owned␇ gone ⟨U+202E⟩back" in said


async def test_an_answer_that_is_none_of_ours_is_no_stack(run: Run, api: TaskApi, tmp_path: Path) -> None:
    found = status.read(tmp_path / "stack.json")
    assert found is not None
    strange = msgspec.structs.replace(found, addresses={"scheduler": f"{api.listening.url}/%2e%2e"})
    status.write(tmp_path / "stack.json", strange)
    assert (await run("queues"))[0] == 1
    await api.stop()
    for command in (("queues",), ("tasks",), ("drain",), ("mode",), ("budget",), ("config", "show")):
        code, said = await run(*command)
        assert (code, "does not answer" in said) == (3, True), said


def test_without_a_stack_every_command_says_how_to_start_one(tmp_path: Path) -> None:
    for command in (
        *(tuple(part.format("t1") for part in one) for one in OF_A_TASK),
        ("tasks",),
        ("queues",),
        ("queue", "pause", "shop"),
        ("queue", "resume", "shop"),
        ("queue", "weight", "shop", "2"),
        ("drain",),
        ("drain", "--undo"),
        ("mode",),
        ("mode", "normal"),
        ("budget",),
        ("config", "show"),
        ("config", "set", "max_queued=5"),
        ("batch", "b1"),
        ("alerts",),
        ("events",),
        ("dlq", "list"),
        ("submit", "--repo", "https://example.org/x.git", "--title", "t", "--test", "true"),
    ):
        code, said = ended(tmp_path, *command)
        assert (code, "autopilot up" in said) == (3, True), (command, said)


@pytest.mark.parametrize(
    ("login", "known_as"), [("ann\nbob", "ann?bob"), ("\x1b[31m", "?[31m"), ("Zoë", "Zo\\xeb")]
)
def test_a_login_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, login: str, known_as: str) -> None:
    monkeypatch.setenv("LOGNAME", login)
    assert _login() == known_as


def test_lines_and_tabs_stay_what_they_are() -> None:
    assert show.visible("a\tb\nc") == "a\tb\nc"
