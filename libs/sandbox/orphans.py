"""Finds and kills what a crashed parent left behind."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

import structlog

#: seconds to wait for killed processes to be gone, and to look again for what they started meanwhile
_PATIENCE_S = 2.0

_log = structlog.get_logger(__name__)


def sweep(*cookies: str) -> list[int]:
    """Kill every process whose environment carries one of the cookies, and return their ids when they are gone.

    A number can be given to another process at any time, so each is held by a pidfd, and its environment
    and start time are read again through it before the signal. Raises ValueError for an empty cookie, which
    all would match.
    """
    if not all(cookies):
        raise ValueError("an empty cookie marks nobody")
    marks = {f"AUTOPILOT_COOKIE={cookie}".encode() for cookie in cookies}
    killed: list[int] = []
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = [pid for pid in _pids() if _kill(pid, marks, deadline)]
        if not found:
            break
        killed += found
    if killed:
        _log.info("orphans_killed", cookies=cookies, pids=killed)
    return killed


def _pids() -> list[int]:
    mine = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != mine]


def _kill(pid: int, marks: set[bytes], deadline: float) -> bool:
    started = _started(pid)
    if not started or not _carries(pid, marks):
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if _started(pid) != started or not _carries(pid, marks):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
    except OSError:
        return False  # ended by itself, or not ours to kill
    finally:
        os.close(handle)
    return True


def _carries(pid: int, marks: set[bytes]) -> bool:
    try:
        return not marks.isdisjoint(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return False


def _started(pid: int) -> str:
    """Start time in clock ticks, or "" for a process that is gone or already a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(") ")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
