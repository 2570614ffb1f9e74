"""Process ids: a recycled one is never taken for one of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from autopilot.stack import processes


@pytest.fixture
def sleeper() -> object:
    program = "import sys, time; print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_keeps_its_identity() -> None:
    assert processes.identity(os.getpid()) == processes.identity(os.getpid()) is not None


def test_a_zombie_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    seen = processes.identity(sleeper.pid)
    assert seen is not None
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert processes.identity(sleeper.pid) is None
    assert not processes.is_running(sleeper.pid, seen)


def test_a_process_with_another_identity_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    assert not processes.send(sleeper.pid, "boot:1", signal.SIGKILL)
    processes.kill_group(sleeper.pid, "boot:1")
    assert processes.identity(sleeper.pid) is not None


def test_the_right_process_is_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.send(sleeper.pid, processes.identity(sleeper.pid) or "", signal.SIGTERM)
    assert sleeper.wait(10) == -signal.SIGTERM


def test_a_process_that_never_was_is_not_signalled() -> None:
    assert not processes.send(2**22 + 1, "boot:1", signal.SIGKILL)
