"""Lets one supervisor at a time have a data directory.

The lock belongs to the open file, which the watchdog inherits: after the supervisor was killed the directory stays
locked until its children are gone, then it is free without anybody cleaning up.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from autopilot.stack import processes
from autopilot.stack.errors import AlreadyRunningError

#: Longer than the watchdog takes to end what a killed supervisor left.
_TAKEOVER_S = 15.0
_POLL_S = 0.05


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Names the supervisor that holds a data directory."""

    pid: int
    #: As `processes.identity` gives it.
    identity: str


class InstanceLock:
    """The held lock of one data directory."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    async def acquire(cls, path: Path) -> InstanceLock:
        """Take the lock, waiting for the remains of a killed supervisor only.

        Raises `AlreadyRunningError` at once when its holder is alive.
        """
        deadline = asyncio.get_running_loop().time() + _TAKEOVER_S
        while (fd := _try(path)) is None:
            holder = _read(path)
            alive = holder is not None and processes.is_running(holder.pid, holder.identity)
            if alive or asyncio.get_running_loop().time() > deadline:
                raise AlreadyRunningError(path.parent, holder.pid if holder and alive else None)
            await asyncio.sleep(_POLL_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(_this_process()) + b"\n", 0)
        return cls(fd)

    def release(self) -> None:
        """Let another supervisor have the directory; twice is once."""
        if self.fd >= 0:
            # Unlocks the shared open file, whoever still has it open.
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            os.close(self.fd)
            self.fd = -1


def holder_of(path: Path) -> Holder | None:
    """Tell who holds the lock now; None when nobody does.

    A holder whose process is gone means that the watchdog is still at work for it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(fd)
    return None


def _try(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _read(path: Path) -> Holder | None:
    # A holder that has locked but not written yet reads as None: the next look finds it.
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    return None


def _this_process() -> Holder:
    return Holder(pid=os.getpid(), identity=processes.identity(os.getpid()) or "")
