"""Waits for the end of a child process inside the event loop, with no thread and no signal handler."""

from __future__ import annotations

import asyncio
import os
from typing import IO, Protocol

_POLL_S = 0.05


class Process(Protocol):
    """A child of this process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """Its id, nobody else's until its end was collected."""
        ...

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe of its output."""
        ...

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal), None before the end."""
        ...

    def wait(self) -> int:
        """Block until the end and return the exit code."""
        ...

    def kill(self) -> None:
        """Send SIGKILL; nothing if it has ended."""
        ...


async def wait_for_exit(process: Process) -> int:
    """Wait until the process has ended and return its exit code (negative: the signal)."""
    # A thread per child (`to_thread(process.wait)`) would use up the default pool: six threads on two cores, nine
    # children.
    if process.poll() is None and hasattr(os, "pidfd_open"):
        await _readable(process.pid)
    while True:
        code = process.poll()
        if code is not None:
            return code
        await asyncio.sleep(_POLL_S)


async def _readable(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(handle, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(handle)
        os.close(handle)
