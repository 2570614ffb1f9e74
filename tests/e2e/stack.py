"""A running stack as outsiders see it: the command line, HTTP and files. Nothing of the product is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

PROGRAM = Path(sys.executable).parent / "autopilot"
SERVICES = ("scheduler", "stage-runner", "gate", "resolution", "alerting", "cleanup", "dashboard")
ENDS = {"done", "incident", "cancelled"}
#: Seconds; generous, since the machine may be busy with other things.
DEADLINE_S = 240.0

Value = TypeVar("Value")


def environment(**more: str) -> dict[str, str]:
    """Return the caller's environment without what would name another stack or a terminal."""
    dropped = ("AUTOPILOT_DATA_DIR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "CI": "true", **more}


def until(look: Callable[[], Value | None], what: str, deadline_s: float = DEADLINE_S) -> Value:
    """Look again and again until there is something; fails with `what` was waited for."""
    end = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < end, f"waited {deadline_s:.0f} s for {what}"
        time.sleep(0.1)
    return found


class Stack:
    """One data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    @cached_property
    def client(self) -> httpx.Client:
        """One for all calls: making one reads every certificate authority of the machine."""
        return httpx.Client(trust_env=False, timeout=30.0)

    def run(self, *arguments: str | Path, timeout_s: float = DEADLINE_S) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this stack."""
        return subprocess.run(
            [PROGRAM, *map(str, arguments), "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            env=environment(),
            check=False,
        )

    def run_all(self, *commands: Sequence[Any]) -> list[subprocess.CompletedProcess[str]]:
        """Run several commands at once; return how they ended in the order given."""
        with ThreadPoolExecutor(max_workers=4) as pool:
            return list(pool.map(lambda command: self.run(*command), commands))

    def begin(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Begin a command that goes on beside the test."""
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments), "--data-dir", str(self.data_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )

    def json(self, *arguments: str | Path) -> Any:
        """Run a command that must succeed and parse what it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    @property
    def state(self) -> dict[str, Any]:
        """What `stack.json` says."""
        state: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text())
        return state

    def pids(self) -> set[int]:
        """Process ids of the whole stack."""
        state = self.state
        found = {state["pid"], state["watchdog_pid"]} | {one["pid"] for one in state["processes"].values()}
        return {pid for pid in found if pid}

    def secret(self, name: str) -> str:
        """Read one credential."""
        return (self.data_dir / "secrets" / name).read_text().strip()

    def http(
        self, service: str, method: str, path: str, *, token: str | None = "api-token", **options: Any
    ) -> httpx.Response:
        """Call a service; `token` names the credential, None sends none."""
        headers: Mapping[str, str] = options.pop("headers", {})
        if token is not None:
            headers = {"Authorization": f"Bearer {self.secret(token)}", **headers}
        url = self.state["addresses"][service] + path
        return self.client.request(method, url, headers=headers, **options)

    def submit(self, *files: Path) -> list[str]:
        """Submit task files; return the tasks' ids in the order in which they were accepted."""
        return [one["id"] for one in self.json("submit", *files)]

    def task(self, task_id: str) -> dict[str, Any]:
        """Tell where a task is."""
        task: dict[str, Any] = self.http("scheduler", "GET", f"/v1/tasks/{task_id}").json()
        return task

    def ended(self, task_id: str) -> dict[str, Any]:
        """Wait until a task has ended; return it."""

        def look() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["phase"] in ENDS else None

        return until(look, f"the end of task {task_id}")

    def events(self, task_id: str) -> list[dict[str, Any]]:
        """List what the record holds of a task."""
        found: list[dict[str, Any]] = self.json("events", "--task", task_id, "--limit", "500")["events"]
        return found

    def started(self, task_id: str, stage: str) -> dict[str, Any]:
        """Wait until a stage of a task runs; return the event that says so."""

        def look() -> dict[str, Any] | None:
            path = f"/api/v1/tasks/{task_id}/events"
            answer = self.http("dashboard", "GET", path)
            # The dashboard may not have heard of the task yet.
            events = answer.json()["events"] if answer.status_code == 200 else []
            wanted = [
                one for one in events if one["type"] == "stage_started" and one["data"]["stage"] == stage
            ]
            return wanted[0] if wanted else None

        return until(look, f"the start of {stage} of task {task_id}")


def alive(pids: Iterable[int]) -> list[psutil.Process]:
    """List those of the processes that still run."""
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def running_with(word: str) -> list[int]:
    """List processes whose command line holds a word."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(word in argument for argument in process.cmdline()):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
    return found


def git(place: Path, *arguments: str) -> str:
    """Run git as a user would and return what it prints."""
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.invalid")
    done = subprocess.run(
        ["git", *identity, "-c", "protocol.file.allow=always", *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()
