"""Waits for the end of a child process inside the event loop, with no thread and no signal handler."""

from __future__ import annotations

import asyncio
import os
import subprocess

_POLL_S = 0.05


async def wait_for_exit(process: subprocess.Popen[bytes]) -> int:
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
