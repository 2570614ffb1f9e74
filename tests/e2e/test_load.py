"""Many tasks at once on the whole stack, and users of every kind beside each other; judged from the record by an outsider."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest import occupancy
from loadtest.checker import record as reading
from loadtest.checker.judge import judge
from loadtest.checker.record import Record
from tests.e2e import till
from tests.e2e.stack import ENDS, Stack, environment, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def slots(stack: Stack) -> Iterator[Callable[[int], None]]:
    """Changes how many tasks may run at once; ten again afterwards."""

    def change(limit: int) -> None:
        answer = stack.http("scheduler", "PUT", "/v1/config", json={"max_concurrent": limit})
        assert answer.status_code == 200, answer.text

    yield change
    change(10)


def recorded(stack: Stack) -> Record:
    """Read the whole record."""

    async def read() -> Record:
        place = stack.state["addresses"]["postgres"].removeprefix("postgresql://")
        connection = await reading.connect(
            f"postgresql://postgres:{stack.secret('postgres-superuser')}@{place}"
        )
        try:
            return await reading.read(connection)
        finally:
            await connection.close()

    return asyncio.run(read())


def submit(stack: Stack, tasks: list[dict[str, Any]]) -> dict[str, str]:
    """Submit a batch; return the id of the batch and those of its tasks."""
    answer = stack.http("scheduler", "POST", "/v1/batches", json={"tasks": tasks})
    assert answer.status_code == 202, answer.text
    return {"batch": answer.json()["batch"], **{one["key"]: one["id"] for one in answer.json()["tasks"]}}


def ended(stack: Stack, batch: str) -> dict[str, str]:
    """Wait until all tasks of a batch have ended; return how, by key."""

    def look() -> dict[str, str] | None:
        told = stack.http("scheduler", "GET", f"/v1/batches/{batch}").json()
        phases = {one["key"]: one["phase"] for one in told["tasks"]}
        return phases if set(phases.values()) <= ENDS else None

    return until(look, f"the end of batch {batch}")


def test_a_hundred_tasks_run_at_once_and_never_one_more(stack: Stack, slots: Callable[[int], None]) -> None:
    slots(100)
    waiting = {
        "title": "waits",
        "body": "work implement 6",
        "engine": "noop",
        "synthetic": True,
        "repos": [{"name": "none", "url": "/nowhere"}],
    }
    tasks = submit(stack, [{**waiting, "key": f"k{place}"} for place in range(130)])
    assert set(ended(stack, tasks["batch"]).values()) == {"done"}

    record = recorded(stack)
    # Never more than the limit in force, no run started twice, no task in two runs, no run without a slot: these among others.
    assert judge(record) == []
    mine = set(tasks.values())
    assert occupancy.peak([span for span in occupancy.slots(record) if span.name in mine]) == 100
    runs = [span for span in occupancy.runs(record) if span.name in mine]
    # A slot is of use to somebody who works; how many of the hundred worked at once depends on the machine, and more did
    # than the ten of a stack that was not asked for a hundred.
    assert occupancy.peak(runs) > 10


def test_tasks_that_cannot_be_solved_end_and_leave_their_slots_on_the_whole_stack(
    stack: Stack, slots: Callable[[int], None], repository: Path
) -> None:
    slots(2)
    wrong = till.MENDED.replace("+    return sum(prices)", "+    return sum(prices[:-2])")
    hopeless = [
        till.task(repository, key=f"hopeless{place}", patch=wrong, priority="urgent") for place in range(4)
    ]
    tasks = submit(stack, [*hopeless, till.task(repository, key="well", priority="low")])
    phases = ended(stack, tasks.pop("batch"))
    assert phases == {**dict.fromkeys((f"hopeless{place}" for place in range(4)), "incident"), "well": "done"}

    # Slots that were given back, each by every one of them.
    held = [span for span in occupancy.slots(recorded(stack)) if span.name in tasks.values()]
    assert {span.name for span in held} == set(tasks.values())
    assert occupancy.peak(held) == 2


def test_users_of_every_kind_find_nothing_wrong(stack: Stack, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "-f", ROOT / "loadtest" / "locustfile.py", "--headless"]
    command += ["-u", "22", "-r", "22", "-t", "12s", "-s", "20"]
    addresses = stack.state["addresses"]
    command += ["--host", addresses["scheduler"], "--dashboard", addresses["dashboard"]]
    command += ["--token-file", stack.data_dir / "secrets" / "api-token"]
    command += [
        "--task-seconds",
        "1",
        "--json-file",
        tmp_path / "figures",
        "--accepted",
        tmp_path / "accepted",
    ]
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert sum(entry["num_failures"] for entry in figures) == 0
    called = {(entry["method"], entry["name"]) for entry in figures}
    assert {
        ("POST", "scheduler /v1/tasks"),
        ("POST", "scheduler /v1/batches"),
        ("GET", "dashboard /api/v1/stream"),
        ("SSE", "record to client"),
    } <= called
    accepted = (tmp_path / "accepted").read_text().split()
    assert len(accepted) == len(set(accepted)) > 0
    # An operator who is stopped in the middle of something leaves it so.
    undo = [["drain", "--undo"], *(["queue", "resume", one["name"]] for one in stack.json("queues"))]
    assert {done.returncode for done in stack.run_all(*undo)} == {0}
    # What a cancelled task held up is parked, and nobody retries it.
    until(lambda: all(stack.task(one)["phase"] in {*ENDS, "parked"} for one in accepted), "the end of all")
    assert judge(recorded(stack)) == []
