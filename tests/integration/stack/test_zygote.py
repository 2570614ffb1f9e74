"""The process in reserve: what it becomes, what it knows before, and what happens without it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autopilot.stack import processes
from autopilot.stack.child import Child
from autopilot.stack.lock import InstanceLock
from autopilot.stack.restart import RestartPolicy
from autopilot.stack.spare import Spare
from autopilot.stack.supervisor import Supervisor
from autopilot.stack.watchdog import Watchdog
from tests.integration.stack.fakes import eventually, running

#: Imported by the spare under this name: says who it is, then waits.
SERVICE = """
import os, sys
print(sorted(os.environ), sys.argv[1:], repr(sys.stdin.read()), flush=True)
import time
time.sleep(600)
"""


class Bench:
    """One supervised child that the spare can become."""

    def __init__(self, folder: Path, lock: InstanceLock) -> None:
        self.log = folder / "child.log"
        self.watchdog = Watchdog("run", lock.fd)
        self.watchdog.start()
        self.spare = Spare("run", self.watchdog, folder)
        (folder / "pretended.py").write_text(SERVICE)
        env = {"PYTHONPATH": str(folder), "AUTOPILOT_SERVICE": "pretended", **REQUIRED}
        child = Child(
            name="pretended",
            argv=(
                sys.executable,
                "-I",
                "-S",
                "-c",
                "import time; print('plain', flush=True); time.sleep(600)",
            ),
            env=env,
            cwd=folder,
            log_file=self.log,
            ready=self._ready,
            orders=("pretended",),
        )
        self.env = env
        self.supervisor = Supervisor(
            [child],
            run_id="run",
            watchdog=self.watchdog,
            on_change=lambda *_: None,
            policy=RestartPolicy(first_s=0.01),
            spare=self.spare,
        )

    async def _ready(self) -> bool:
        return True

    @property
    def pid(self) -> int:
        status = self.supervisor.statuses()["pretended"]
        return status.pid or 0

    async def crash(self) -> None:
        """Kill the child and wait for the next one."""
        before = self.pid
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: self.pid not in (0, before), "another process")

    async def said(self, word: str) -> str:
        """Wait until the child's log holds a word; return that line."""
        # Loading what services load takes half a second of processor time, which a busy machine may be long in giving.
        async with asyncio.timeout(120):
            while not (self.log.exists() and word in self.log.read_text()):
                await asyncio.sleep(0.02)
        return next(line for line in self.log.read_text().splitlines() if word in line)


REQUIRED = {
    f"AUTOPILOT_{name}": "x"
    for name in (
        *("DATA_DIR", "POSTGRES_DSN", "NATS_URL", "NATS_USER", "NATS_PASSWORD"),
        *("API_TOKEN", "SCRAPE_TOKEN", "SESSION_KEY"),
    )
} | {"AUTOPILOT_HTTP_PORT": "1"}


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("autopilot.stack.environment._python", lambda: {"PYTHONPATH": str(tmp_path)})
    lock = await InstanceLock.acquire(tmp_path / "lock")
    made = Bench(tmp_path, lock)
    made.supervisor.start()
    await made.said("plain")
    yield made
    await made.supervisor.stop()
    made.spare.stop()
    await made.watchdog.stop()
    lock.release()


async def test_a_crashed_child_comes_back_as_the_process_in_reserve(bench: Bench) -> None:
    bench.spare.prepare()
    waiting = bench.spare.pid
    await bench.crash()
    assert bench.pid == waiting
    assert bench.spare.pid is None
    # Its own environment and nothing else, its own arguments, and nothing to read.
    names = sorted([*bench.env, processes.MARK])
    assert await bench.said("pretended") == f"{names} ['pretended'] ''"


async def test_without_one_it_is_started_as_the_first_time(bench: Bench) -> None:
    await bench.crash()
    await eventually(lambda: bench.log.read_text().count("plain") == 2, "a plain start")


async def test_one_that_was_killed_meanwhile_is_not_missed(bench: Bench) -> None:
    bench.spare.prepare()
    assert bench.spare.pid is not None
    os.kill(bench.spare.pid, signal.SIGKILL)
    os.waitid(os.P_PID, bench.spare.pid, os.WEXITED | os.WNOWAIT)
    await bench.crash()
    await eventually(lambda: bench.log.read_text().count("plain") == 2, "a plain start")


async def test_it_knows_no_credential_before_it_has_its_orders(bench: Bench) -> None:
    bench.spare.prepare()
    pid = bench.spare.pid
    assert pid is not None
    await asyncio.sleep(0)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"AUTOPILOT_POSTGRES_DSN" not in environment
    assert b"AUTOPILOT_API_TOKEN" not in environment


async def test_there_is_never_more_than_one_and_none_after_the_stop(bench: Bench) -> None:
    bench.spare.prepare()
    pid = bench.spare.pid
    assert pid is not None
    bench.spare.prepare()
    assert bench.spare.pid == pid
    bench.spare.stop()
    assert not running(pid)
    bench.spare.prepare()
    assert bench.spare.pid is None
