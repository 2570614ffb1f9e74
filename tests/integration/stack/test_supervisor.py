"""Children that crash, hang, shout and leave children of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from autopilot.stack import processes
from autopilot.stack.child import Child
from autopilot.stack.config import HOST
from autopilot.stack.errors import PartFailedError
from autopilot.stack.liveness import LivenessPolicy
from autopilot.stack.lock import InstanceLock
from autopilot.stack.probe import http_status
from autopilot.stack.restart import RestartPolicy
from autopilot.stack.supervisor import Supervisor
from autopilot.stack.watchdog import Watchdog
from tests.integration.stack.fakes import PATIENCE_S, PROGRAMS, eventually, running

Supervise = Callable[..., Supervisor]

#: A child is hung after a second and a half.
_IMPATIENT = LivenessPolicy(every_s=0.5, misses=3, ends=1)
_QUICK = RestartPolicy(first_s=0.01, max_s=0.02, crashes=3)

SLEEP = "import time; time.sleep(600)"
CRASH = "raise SystemExit(3)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); " + SLEEP
FAMILY = f"""
import os, subprocess, sys
program = [sys.executable, "-I", "-S", "-c", "{SLEEP}"]
inside, outside = subprocess.Popen(program), subprocess.Popen(program, start_new_session=True)
print(inside.pid, outside.pid, flush=True)
{SLEEP}
"""
SHOUT = "import os\nwhile True: os.write(1, b'x' * 65535 + b'\\n')"


async def _yes() -> bool:
    return True


def child(folder: Path, name: str, program: str, **changes: object) -> Child:
    settings: dict[str, object] = {
        "name": name,
        "argv": (sys.executable, "-I", "-S", "-c", program),
        "env": {},
        "cwd": folder,
        "log_file": folder / f"{name}.log",
        "ready": _yes,
        **changes,
    }
    return Child(**settings)  # type: ignore[arg-type]


@pytest.fixture
async def supervise(tmp_path: Path) -> AsyncIterator[Supervise]:
    """Make supervisors that are stopped after the test."""
    lock = await InstanceLock.acquire(tmp_path / "lock")
    watchdog = Watchdog(f"test-{os.getpid()}", lock.fd)
    watchdog.start()
    made: list[Supervisor] = []

    def supervise(
        *children: Child, policy: RestartPolicy = _QUICK, liveness: LivenessPolicy | None = None
    ) -> Supervisor:
        supervisor = Supervisor(
            children,
            run_id=f"test-{os.getpid()}",
            watchdog=watchdog,
            on_change=lambda name, state: None,
            policy=policy,
            liveness=liveness,
        )
        made.append(supervisor)
        return supervisor

    yield supervise
    for supervisor in made:
        await supervisor.stop()
    await watchdog.stop()
    lock.release()


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.statuses()[name].pid
    assert pid is not None
    return pid


async def printed(path: Path) -> str:
    await eventually(lambda: path.exists() and path.read_text().endswith("\n"), f"a line in {path.name}")
    return path.read_text().strip()


async def test_a_killed_child_comes_back_with_another_id(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(child(tmp_path, "a", SLEEP))
    supervisor.start()
    await supervisor.wait_ready("a", PATIENCE_S)
    first = pid_of(supervisor, "a")
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.statuses()["a"].restarts == 1, "a restart")
    await supervisor.wait_ready("a", PATIENCE_S)
    assert pid_of(supervisor, "a") != first


async def test_one_that_only_crashes_is_given_up_and_the_others_go_on(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(child(tmp_path, "bad", CRASH, ready=_never), child(tmp_path, "good", SLEEP))
    supervisor.start()
    with pytest.raises(PartFailedError, match="exit code 3"):
        await supervisor.wait_ready("bad", PATIENCE_S)
    given_up = supervisor.statuses()["bad"]
    assert (given_up.state, given_up.pid) == ("given-up", None)
    await supervisor.wait_ready("good", PATIENCE_S)
    assert supervisor.statuses()["good"].state == "ready"


async def test_a_program_that_is_not_there_is_given_up_with_its_name(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(child(tmp_path, "a", "", argv=("/nowhere/program",), ready=_never))
    supervisor.start()
    with pytest.raises(PartFailedError, match="/nowhere/program: No such file"):
        await supervisor.wait_ready("a", PATIENCE_S)


@pytest.mark.parametrize("end", ["stop", "crash"])
async def test_no_descendant_survives_its_child(supervise: Supervise, tmp_path: Path, end: str) -> None:
    supervisor = supervise(child(tmp_path, "a", FAMILY))
    supervisor.start()
    inside, outside = map(int, (await printed(tmp_path / "a.log")).split())
    if end == "stop":
        await supervisor.stop()
    else:
        os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
    await eventually(lambda: not running(inside), "the end of a child's child")
    await eventually(lambda: not running(outside), "the end of one that left the process group")


async def test_ten_restarts_leave_exactly_one_process(supervise: Supervise, tmp_path: Path) -> None:
    patient = RestartPolicy(first_s=0.01, max_s=0.01, crashes=100)
    supervisor = supervise(child(tmp_path, "a", SLEEP), policy=patient)
    supervisor.start()

    def restarted(times: int) -> Callable[[], bool]:
        return lambda: supervisor.statuses()["a"].restarts == times

    for number in range(10):
        await eventually(restarted(number), "a restart")
        await supervisor.wait_ready("a", PATIENCE_S)
        os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
    await eventually(restarted(10), "the tenth restart")
    await supervisor.wait_ready("a", PATIENCE_S)
    # The kernel shows no environment yet of one that has only just been executed.
    await eventually(lambda: processes.marked(f"test-{os.getpid()}/a/") != [], "its mark")
    assert [pid for pid, _ in processes.marked(f"test-{os.getpid()}/a/")] == [pid_of(supervisor, "a")]


async def test_one_that_ignores_the_stop_signal_is_killed_after_its_grace(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(child(tmp_path, "a", STUBBORN, stop_signals=((signal.SIGTERM, 0.2),)))
    supervisor.start()
    await printed(tmp_path / "a.log")
    pid = pid_of(supervisor, "a")
    await supervisor.stop()
    assert not running(pid)
    assert supervisor.statuses()["a"].state == "stopped"


async def test_a_second_signal_is_sent_when_the_first_is_not_enough(
    supervise: Supervise, tmp_path: Path
) -> None:
    patient = ((signal.SIGTERM, 0.2), (signal.SIGQUIT, 30.0))
    supervisor = supervise(child(tmp_path, "a", STUBBORN, stop_signals=patient))
    supervisor.start()
    await printed(tmp_path / "a.log")
    await supervisor.stop()
    assert supervisor.statuses()["a"].state == "stopped"


async def test_a_frozen_child_is_stopped_too(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(child(tmp_path, "a", SLEEP, stop_signals=((signal.SIGTERM, 0.2),)))
    supervisor.start()
    await supervisor.wait_ready("a", PATIENCE_S)
    pid = pid_of(supervisor, "a")
    os.kill(pid, signal.SIGSTOP)
    await supervisor.stop()
    assert not running(pid)


def _answering(folder: Path) -> Child:
    """Describe a child that answers over HTTP."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]

    async def alive() -> bool:
        return await http_status(HOST, port, "/healthz", None) is not None

    argv = (sys.executable, "-I", "-S", str(PROGRAMS / "fake_service.py"), str(port))
    return child(folder, "a", "", argv=argv, ready=alive, alive=alive)


async def test_a_child_that_hangs_is_ended_and_started_again(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(_answering(tmp_path), liveness=_IMPATIENT)
    supervisor.start()
    await supervisor.wait_ready("a", PATIENCE_S)
    first = pid_of(supervisor, "a")
    os.kill(first, signal.SIGSTOP)
    await eventually(lambda: supervisor.statuses()["a"].restarts == 1, "the end of the one that hangs")
    assert supervisor.statuses()["a"].error == "has not answered for 1.5 s (stopped): ended"
    assert not running(first)
    await supervisor.wait_ready("a", PATIENCE_S)
    assert pid_of(supervisor, "a") != first


async def test_a_child_that_hangs_again_and_again_is_reported_and_let_be(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(_answering(tmp_path), liveness=_IMPATIENT)
    supervisor.start()
    await supervisor.wait_ready("a", PATIENCE_S)
    os.kill(pid_of(supervisor, "a"), signal.SIGSTOP)
    await eventually(lambda: supervisor.statuses()["a"].restarts == 1, "the end of the one that hangs")
    await supervisor.wait_ready("a", PATIENCE_S)
    second = pid_of(supervisor, "a")
    os.kill(second, signal.SIGSTOP)
    await eventually(lambda: supervisor.statuses()["a"].state == "hung", "a report")
    assert "ended too often" in (supervisor.statuses()["a"].error or "")
    assert (running(second), supervisor.is_ready("a")) == (True, False)
    os.kill(second, signal.SIGCONT)
    await supervisor.wait_ready("a", PATIENCE_S)
    assert (supervisor.statuses()["a"].state, pid_of(supervisor, "a")) == ("ready", second)


async def test_a_child_that_prints_without_end_fills_neither_disk_nor_supervisor(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(child(tmp_path, "loud", SHOUT), child(tmp_path, "calm", SLEEP))
    supervisor.start()
    await eventually((tmp_path / "loud.log.2").exists, "the second rotation")
    await supervisor.wait_ready("calm", PATIENCE_S)
    await supervisor.stop()
    sizes = [path.stat().st_size for path in tmp_path.glob("loud.log*")]
    assert len(sizes) == 3
    assert max(sizes) <= 10_000_000


async def test_dependents_start_after_and_stop_before(supervise: Supervise, tmp_path: Path) -> None:
    order: list[str] = []
    note = f"import signal, sys, pathlib\nlog = pathlib.Path({str(tmp_path / 'ends')!r})\n"
    note += "def end(*_):\n    log.open('a').write(sys.argv[1] + ' ')\n    sys.exit()\n"
    note += f"signal.signal(signal.SIGTERM, end)\nprint('on', flush=True)\n{SLEEP}"

    def noted(name: str) -> Callable[[], Awaitable[bool]]:
        async def ready() -> bool:
            if not (tmp_path / f"{name}.log").exists():
                return False
            order.append(name)
            return True

        return ready

    def one(name: str, *needs: str) -> Child:
        argv = (sys.executable, "-I", "-S", "-c", note, name)
        return child(tmp_path, name, "", argv=argv, ready=noted(name), depends_on=needs)

    supervisor = supervise(one("top", "middle"), one("middle", "ground"), one("ground"))
    supervisor.start()
    await supervisor.wait_ready("top", PATIENCE_S)
    await supervisor.stop()
    assert order == ["ground", "middle", "top"]
    assert (tmp_path / "ends").read_text().split() == ["top", "middle", "ground"]


async def test_stopping_during_the_start_and_twice_is_once(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(
        child(tmp_path, "a", SLEEP, ready=_never), child(tmp_path, "b", SLEEP, depends_on=("a",))
    )
    supervisor.start()
    await eventually(lambda: supervisor.statuses()["a"].state == "starting", "a start")
    pid = pid_of(supervisor, "a")
    await asyncio.gather(supervisor.stop(), supervisor.stop())
    await supervisor.stop()
    assert not running(pid)
    assert {status.state for status in supervisor.statuses().values()} == {"stopped"}


async def test_a_killed_watchdog_is_replaced(supervise: Supervise, tmp_path: Path) -> None:
    lock = await InstanceLock.acquire(tmp_path / "another-lock")
    watchdog = Watchdog("test-watchdog", lock.fd)
    watchdog.start()
    first = watchdog.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: watchdog.pid not in (None, first), "another watchdog")
    await watchdog.stop()
    lock.release()


async def test_dependencies_in_a_circle_are_refused(supervise: Supervise, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        supervise(
            child(tmp_path, "a", SLEEP, depends_on=("b",)), child(tmp_path, "b", SLEEP, depends_on=("a",))
        )


async def _never() -> bool:
    return False
