"""The bus loses everything while tasks are under way: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from nats.aio.client import Client

from autopilot.stack.config import READER_ROLE, SERVICES
from contracts.catalogue import registry
from contracts.message import Recorded
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Cursor
from libs.testing.invariants import breaches_at_rest
from tests.e2e.stack import ENDS, Stack, alive, until

TASKS = 12


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    """A stack to break."""
    stack = Stack(tmp_path / "data")
    begun = stack.run("up", "--detach", "--ephemeral-ports")
    assert begun.returncode == 0, begun
    pids = stack.pids()
    yield stack
    stack.client.close()
    assert stack.run("down").returncode == 0
    assert alive(pids) == []


def submit(stack: Stack, count: int) -> list[str]:
    """Submit simulated tasks."""
    tasks = [
        {
            "key": f"k{number}",
            "title": f"task {number}",
            # They end one after the other, so that some are over and others are not.
            "body": f"work verify {number}",
            "engine": "noop",
            "synthetic": True,
            "repos": [{"name": "r", "url": "/nowhere/r.git", "base": "main"}],
        }
        for number in range(count)
    ]
    answer = stack.http("scheduler", "POST", "/v1/batches", json={"tasks": tasks})
    assert answer.status_code in (200, 201, 202), answer.text
    return [task["id"] for task in answer.json()["tasks"]]


def dsn(stack: Stack) -> str:
    return f"postgresql://{READER_ROLE}:{stack.secret('postgres-reader')}@127.0.0.1:{stack.state['ports']['postgres']}/autopilot"


async def record(stack: Stack) -> list[Recorded]:
    """Read the whole record."""
    store = await PostgresStore.connect(dsn(stack), registry)
    try:
        return await store.read_all(Cursor(), limit=1_000_000)
    finally:
        await store.close()


async def query(stack: Stack, sql: str) -> list[Any]:
    connection = await asyncpg.connect(dsn(stack))
    try:
        return [dict(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


class Readiness:
    """What the services say about themselves, again and again."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self.red = stack, list[str]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Readiness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while not self._over.wait(0.05):
                try:
                    answer = client.get(self._stack.state["addresses"]["gate"] + "/readyz").json()
                except (httpx.HTTPError, ValueError):
                    continue
                if reason := answer["not_ready"].get("bus_audit"):
                    self.red.append(reason)


def half_way(stack: Stack, ids: list[str]) -> None:
    """Wait until some tasks have ended and others have not."""

    def look() -> bool:
        ended = sum(stack.task(id_)["phase"] in ENDS for id_ in ids)
        assert ended < len(ids), "too late to break anything"
        return ended >= 3

    until(look, "the first tasks")


def sound(stack: Stack, epoch: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = asyncio.run(query(stack, "select * from bus_epoch order by epoch desc limit 1"))
        return found[0] if found and found[0]["epoch"] >= epoch and found[0]["state"] == "sound" else None

    return until(look, f"epoch {epoch}")


def ready(stack: Stack) -> bool:
    return all(stack.http(name, "GET", "/readyz", token=None).status_code == 200 for name in SERVICES)


def wipe(stack: Stack) -> None:
    """Delete what the bus has stored; moved first, because the running server writes into it meanwhile."""
    gone = stack.data_dir / "nats" / "gone"
    (stack.data_dir / "nats" / "jetstream").rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def test_a_bus_that_loses_everything_costs_no_task_and_repeats_none(own: Stack) -> None:
    with Readiness(own) as readiness:
        ids = submit(own, TASKS)
        half_way(own, ids)
        # Under the running server, which notices nothing; then it is killed, too, and has nothing when it comes back.
        wipe(own)
        more = submit(own, TASKS)
        half_way(own, more)
        os.kill(own.state["processes"]["nats"]["pid"], signal.SIGKILL)
        began = time.monotonic()
        epoch = sound(own, 2)
        took = time.monotonic() - began
        print(f"sound again {took:.1f} s after the kill: {epoch}")
        told(own, epoch)
        for task_id in (*ids, *more):
            assert own.ended(task_id)["phase"] == "done"
    assert any("made anew" in reason for reason in readiness.red), readiness.red
    until(lambda: ready(own), "readiness")
    events = asyncio.run(record(own))
    assert breaches_at_rest(events) == []
    runs = Counter(event.stream for event in events if event.type == "stage_started")
    assert set(runs.values()) == {1}
    assert sum(event.type == "task_done" for event in events) == 2 * TASKS
    # The page hears of every event, too: it may be a little behind.
    until(lambda: not asyncio.run(query(own, UNHEARD)), "the page")
    assert sound(own, 2)["epoch"] == 2
    invented(own)


def told(stack: Stack, epoch: dict[str, Any]) -> None:
    """Somebody was told within five seconds of the moment that the epoch began, though the bus was down then."""

    def look() -> dict[str, Any] | None:
        alerts = stack.http("alerting", "GET", "/v1/alerts").json()["alerts"]
        found = [one for one in alerts if one["rule"] == "bus_epoch" and one["resolved_at"]]
        # A short epoch may be over before the call about it is recorded.
        return found[0] if found and all(sink["delivered"] for sink in found[0]["sinks"]) else None

    alert = until(look, "the alert about the epoch, and that somebody was told")
    events = {
        event.type: event
        for event in asyncio.run(record(stack))
        if event.stream == f"alert-{alert['alert_id']}"
    }
    took = (events["alert_delivered"].recorded_at - epoch["began"]).total_seconds()
    print(f"told {took:.1f} s after the epoch began")
    assert took < 5.0
    metrics = stack.http("gate", "GET", "/metrics").text
    assert "autopilot_bus_epoch 2.0" in metrics
    assert "autopilot_bus_sound 1.0" in metrics


def invented(stack: Stack) -> None:
    """Somebody with the admin's password puts an event on the bus that nobody recorded."""
    asyncio.run(publish(stack, "autopilot.v1.task.none.stage_requested", b"{}"))
    assert "is no event of the record" in sound(stack, 3)["reason"]
    letters = stack.json("dlq", "list")
    assert {one["consumer"] for one in letters} >= {"stage-runner-run-stage"}
    letter = next(one for one in letters if one["consumer"] == "stage-runner-run-stage")
    shown = stack.run("dlq", "show", letter["id"])
    assert shown.returncode == 0, shown
    assert letter["reason"] in shown.stdout
    assert "The record holds no such event" in shown.stdout
    done = stack.run("dlq", "redrive", "--all", "--reason", "a test")
    assert done.returncode == 0, done
    assert stack.json("dlq", "list") == []
    assert stack.run("dlq", "redrive", letter["id"]).returncode == 1
    until(lambda: ready(stack), "readiness")


async def publish(stack: Stack, subject: str, payload: bytes) -> None:
    client = Client()
    url = f"nats://127.0.0.1:{stack.state['ports']['nats']}"
    await client.connect(url, user="admin", password=stack.secret("nats-admin"))
    await client.jetstream().publish(subject, payload)
    await client.close()


UNHEARD = """
select position from events
where (xid, position) > (select xid, position from follower where consumer = 'dashboard-project')
"""
