"""Names processes so that a recycled id is never mistaken for one of ours, and ends whole families of them.

Standard library only: the watchdog imports this without the packages, so that it starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

#: Environment variable carried by everything that a stack starts: `<run id>/<name>`. It finds descendants that
#: left the process group (a shell with `setsid`) after the one who started them is gone.
MARK = "AUTOPILOT_STACK_RUN"

_PROC = Path("/proc")


def identity(pid: int) -> str | None:
    """Tell a process apart from a later one with the same id; None when it has ended, zombies included."""
    if sys.platform != "linux":
        return _identity_from_ps(pid)
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name may hold spaces and brackets; the fields begin after the last one.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return f"{_boot_id()}:{fields[19]}"


@cache
def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "boot"


def _identity_from_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
        env={"LC_ALL": "C"},
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def is_running(pid: int, expected: str) -> bool:
    """Tell whether exactly that process is still running."""
    return identity(pid) == expected


def send(pid: int, expected: str, signum: int) -> bool:
    """Signal exactly that process; False when it has ended."""
    if not hasattr(os, "pidfd_open"):
        if not is_running(pid, expected):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        return True
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The handle was taken first: from here on the id cannot come to mean another process.
        if not is_running(pid, expected):
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def kill_group(leader: int, expected: str) -> None:
    """Kill what is left of the process group that this process leads or led.

    While one member lives the kernel does not give the id to anybody else, so a missing leader is safe to go by;
    a leader with another identity means that the whole group has ended.
    """
    now = identity(leader)
    if now is not None and now != expected:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def marked(prefix: str) -> list[tuple[int, str]]:
    """Find the running processes whose mark begins so, this one excepted; nothing where /proc is missing."""
    wanted = b"\0" + f"{MARK}={prefix}".encode()
    found: list[tuple[int, str]] = []
    for pid in _all_pids():
        if pid == os.getpid() or wanted not in _environ(pid):
            continue
        seen = identity(pid)
        # Once more: the id may have changed hands between the two looks.
        if seen is not None and wanted in _environ(pid):
            found.append((pid, seen))
    return found


def _environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return b"\0" + (file.readall() or b"")
    except OSError:
        return b""


def kill_marked(prefix: str) -> int:
    """Kill those processes once and count them; a caller repeats until none is found, as they may be forking."""
    return sum(send(pid, seen, signal.SIGKILL) for pid, seen in marked(prefix))


def _all_pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]
    except OSError:
        return []
