"""A supervisor that is killed leaves nothing running, and the next start finds its data as it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from autopilot.stack.cluster import _servers_in
from autopilot.stack.config import POSTGRES, SERVICES, StackConfig
from autopilot.stack.detach import launch, stop_running
from autopilot.stack.lock import holder_of
from autopilot.stack.status import StackStatus
from tests.integration.stack.fakes import RUN_STACK, eventually, live_status, running


@pytest.fixture
def background(used: StackConfig) -> Iterator[StackStatus]:
    """A stack of its own that another process supervises."""
    launch([*RUN_STACK, str(used.data_dir)], used)
    yield live_status(used)
    stop_running(used)


def _everything(config: StackConfig, background: StackStatus) -> set[int]:
    """Collect every process of the stack: children, their own children, the database's workers."""
    children = {process.pid for process in background.processes.values() if process.pid}
    families = {
        int(word)
        for name in SERVICES
        for word in (Path(config.data_dir) / f"{name}.pids").read_text().split()
    }
    workers = {pid for pid, _ in _servers_in(config.postgres_dir)}
    assert (len(children), len(families)) == (9, 21)
    assert len(workers) > 3
    return children | families | workers


async def test_all_descendants_end_with_a_killed_supervisor(
    config: StackConfig, background: StackStatus
) -> None:
    everything = _everything(config, background)
    os.kill(background.pid, signal.SIGKILL)
    await eventually(lambda: not any(map(running, everything)), "the end of all descendants")
    await eventually(lambda: holder_of(config.lock_file) is None, "a free data directory")


async def test_without_the_watchdog_the_kernel_still_ends_the_children(
    config: StackConfig, background: StackStatus
) -> None:
    everything = _everything(config, background)
    assert background.watchdog_pid is not None
    os.kill(background.pid, signal.SIGSTOP)
    os.kill(background.watchdog_pid, signal.SIGKILL)
    os.kill(background.pid, signal.SIGKILL)
    children = [process.pid for process in background.processes.values() if process.pid]
    await eventually(lambda: not any(map(running, children)), "the end of the children")
    # What the kernel does not reach, the next start does.
    launch([*RUN_STACK, str(config.data_dir)], config)
    assert not [pid for pid in everything if running(pid)]


async def test_the_next_start_waits_for_the_remains_and_then_works(
    config: StackConfig, background: StackStatus
) -> None:
    os.kill(background.pid, signal.SIGKILL)
    launch([*RUN_STACK, str(config.data_dir)], config)
    after = live_status(config)
    assert after.pid != background.pid
    assert after.alive
    assert after.processes[POSTGRES].state == "ready"


async def test_a_part_comes_back_though_the_supervisor_cannot_write_its_log(used: StackConfig) -> None:
    log = used.log_file("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/full")
    launch([*RUN_STACK, str(used.data_dir)], used)
    try:
        before = live_status(used).processes["gate"].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await eventually(
            lambda: (now := live_status(used).processes["gate"]).pid != before and now.state == "ready",
            "the part that was killed to be back",
        )
    finally:
        stop_running(used)
