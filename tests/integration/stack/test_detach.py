"""A stack in the background: started, refused, stopped from another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from autopilot.stack.config import SERVICES, StackConfig
from autopilot.stack.detach import launch, stop_running
from autopilot.stack.errors import PartFailedError, StopTimeoutError
from autopilot.stack.lock import Holder, holder_of
from autopilot.stack.progress import Progress
from tests.integration.stack.fakes import RUN_STACK, eventually, live_status, running


@pytest.fixture
def told(used: StackConfig) -> Iterator[list[Progress]]:
    """A stack in the background and what its start reported."""
    events: list[Progress] = []
    launch([*RUN_STACK, str(used.data_dir)], used, events.append)
    yield events
    stop_running(used)


def test_it_is_ready_when_launch_returns_and_gone_when_stop_does(
    config: StackConfig, told: list[Progress]
) -> None:
    written = live_status(config)
    assert written.state == "ready"
    assert written.pid != os.getpid()
    assert {event.part for event in told if event.state == "ready"} > set(SERVICES)
    assert os.getsid(written.pid) == written.pid
    assert stop_running(config)
    pids = [written.pid, *(process.pid for process in written.processes.values())]
    assert not [pid for pid in pids if pid and running(pid)]
    assert not stop_running(config)


def test_a_second_launch_is_refused_and_the_first_stays(shared: StackConfig) -> None:
    first = live_status(shared)
    with pytest.raises(PartFailedError, match=f"already running .*process {first.pid}"):
        launch([*RUN_STACK, str(shared.data_dir)], shared)
    assert live_status(shared).run_id == first.run_id
    assert running(first.pid)


def test_a_supervisor_that_dies_at_once_is_reported_with_what_it_said(config: StackConfig) -> None:
    program = "import sys; sys.exit('no such setting')"
    with pytest.raises(PartFailedError, match="no such setting"):
        launch([sys.executable, "-I", "-S", "-c", program], config)


def test_one_that_is_not_ready_in_time_is_ended(config: StackConfig) -> None:
    pid_file = config.data_dir.with_name("pid")
    program = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(PartFailedError, match="not ready in time"):
        launch([sys.executable, "-I", "-S", "-c", program], config, timeout_s=2.0)
    assert not running(int(pid_file.read_text()))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
async def test_a_repeated_signal_is_one_orderly_stop(
    config: StackConfig, told: list[Progress], signum: signal.Signals
) -> None:
    written = live_status(config)
    os.kill(written.pid, signum)
    os.kill(written.pid, signum)
    await eventually(lambda: not running(written.pid), "the end of the supervisor")
    assert not config.stack_file.exists()
    assert "database system is shut down" in config.log_file("postgres").read_text()


async def test_signals_during_the_start_end_it_and_leave_nothing(used: StackConfig) -> None:
    process = subprocess.Popen([*RUN_STACK, str(used.data_dir)])
    await eventually(used.stack_file.exists, "the begin of the start")
    children = [child.pid for child in live_status(used).processes.values()]
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    await eventually(lambda: process.poll() is not None, "the end of the supervisor")
    assert process.returncode == 0
    assert not [pid for pid in children if pid and running(pid)]
    assert holder_of(used.lock_file) is None
    assert not used.stack_file.exists()


def test_a_recycled_id_in_the_lock_is_never_signalled(config: StackConfig) -> None:
    config.data_dir.mkdir()
    stranger = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
    holder = Holder(pid=stranger.pid, identity="an earlier process")
    # Another program keeps the lock, as a watchdog does for a supervisor that was killed.
    hold = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True)"
    hold += "; time.sleep(600)"
    config.lock_file.write_bytes(msgspec.json.encode(holder))
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", hold, str(config.lock_file)], stdout=subprocess.PIPE
    )
    assert keeper.stdout is not None
    keeper.stdout.readline()
    with pytest.raises(StopTimeoutError):
        stop_running(config, timeout_s=0.2)
    assert stranger.poll() is None
    for process in (keeper, stranger):
        process.kill()
        process.communicate()
