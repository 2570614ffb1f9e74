"""Starts a stack in the background and stops one from another process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import msgspec

from autopilot.stack import processes
from autopilot.stack.config import StackConfig
from autopilot.stack.errors import PartFailedError, StopTimeoutError
from autopilot.stack.lock import holder_of
from autopilot.stack.logs import RotatedLog, tail
from autopilot.stack.progress import WHOLE, Progress, Report, silent

#: Names the inherited file on which a background supervisor reports its start.
PROGRESS_FD = "AUTOPILOT_PROGRESS_FD"

_LOG = "supervisor"
_POLL_S = 0.05
_END_TIMEOUT_S = 60.0

# Forks, so that the supervisor is nobody's child to wait for; leaves the terminal's session; tells its id first.
_LAUNCHER = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
os.write(int(sys.argv[1]), b"%d\\n" % os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def launch(
    argv: Sequence[str],
    config: StackConfig,
    report: Report = silent,
    *,
    timeout_s: float = 120.0,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Run a foreground `up` in the background and return when its stack is ready; raises `PartFailedError`.

    `argv` begins with the absolute path of a program, which must report to `background_report()`. A failure, the time
    limit and an interrupted wait all leave no stack behind.
    """
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Turned over here, once a start: the supervisor itself says little.
    log = config.log_file(_LOG)
    rotated = RotatedLog(log, max_bytes=1_000_000)
    rotated.write(f"--- start at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n".encode())
    rotated.close()
    reading, writing = os.pipe()
    try:
        with log.open("ab") as output:
            launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(writing), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                env={**environ, PROGRESS_FD: str(writing)},
            )
    finally:
        os.close(writing)
    started: list[tuple[int, str]] = []
    try:
        launcher.wait()
        _follow(reading, config, report, time.monotonic() + timeout_s, started)
    except BaseException:
        _end(started)
        raise
    finally:
        os.close(reading)


def _follow(
    reading: int, config: StackConfig, report: Report, deadline: float, started: list[tuple[int, str]]
) -> None:
    """Pass the news on until the stack is ready; the first line is the supervisor's id, for `started`."""
    log = config.log_file(_LOG)
    pending = b""
    while True:
        readable, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise PartFailedError(WHOLE, "not ready in time", log)
        data = os.read(reading, 65536)
        if not data:
            raise PartFailedError(WHOLE, f"its supervisor ended: {tail(log, 600)}", log)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if not started:
                pid = int(line)
                started.append((pid, processes.identity(pid) or ""))
                continue
            event = msgspec.json.decode(line, type=Progress)
            report(event)
            if event.part == WHOLE and event.state == "failed":
                raise PartFailedError(WHOLE, event.detail or "failed", log)
            if event.part == WHOLE and event.state == "ready":
                return


def _end(started: list[tuple[int, str]]) -> None:
    """End the supervisor that was launched, and no other: one that was there before is why ours may have failed."""
    for pid, seen in started:
        processes.send(pid, seen, signal.SIGTERM)
        deadline = time.monotonic() + _END_TIMEOUT_S
        while processes.is_running(pid, seen) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def background_report() -> Report | None:
    """Return where this process has to report its start if `launch` started it; None otherwise."""
    named = os.environ.pop(PROGRESS_FD, None)
    if named is None:
        return None
    fd = int(named)
    os.set_inheritable(fd, False)
    open_fd: int | None = fd

    def report(event: Progress) -> None:
        nonlocal open_fd
        if open_fd is None:
            return
        # Whoever waited may have gone; the stack goes on without an audience.
        with contextlib.suppress(BrokenPipeError):
            os.write(open_fd, msgspec.json.encode(event) + b"\n")
        if event.part == WHOLE and event.state != "starting":
            os.close(open_fd)
            open_fd = None

    return report


def stop_running(config: StackConfig, *, timeout_s: float = 60.0) -> bool:
    """Stop the stack of this directory and wait until it is gone; false if none was running.

    The supervisor is known by id and start, so a recycled id is never signalled. Raises `StopTimeoutError`.
    """
    holder = holder_of(config.lock_file)
    if holder is None:
        return False
    deadline = time.monotonic() + timeout_s
    processes.send(holder.pid, holder.identity, signal.SIGTERM)
    # The lock is free when the last of its processes is gone, be it the watchdog of a killed supervisor.
    while holder_of(config.lock_file) == holder or processes.is_running(holder.pid, holder.identity):
        if time.monotonic() > deadline:
            raise StopTimeoutError(holder.pid, timeout_s)
        time.sleep(_POLL_S)
    return True
