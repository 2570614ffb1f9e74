"""Keeps a watchdog process informed, which ends the children should this process be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import structlog

from autopilot.stack import processes
from autopilot.stack.exits import wait_for_exit

_log = structlog.get_logger(__name__)

_ROOT = Path(__file__).resolve().parents[2]

# `-I -S` keeps the user's settings and the installed packages out, so the path to our own code is given by hand.
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from autopilot.stack.watchdog_main import main
main(sys.argv[2])
"""

_GOODBYE_S = 5.0


class Watchdog:
    """One watchdog process for one run of a stack; it is started anew if it is killed."""

    def __init__(self, run_id: str, lock_fd: int) -> None:
        self._run_id = run_id
        self._lock_fd = lock_fd
        self._watched: dict[int, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the watchdog process while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process and keep it running."""
        self._spawn()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="watchdog")

    def watch(self, pid: int, signum: int) -> None:
        """Have this child ended with that signal if this process is killed."""
        seen = processes.identity(pid)
        if seen is not None:
            self._watched[pid] = f"+ {pid} {int(signum)} {seen}\n"
            self._tell(self._watched[pid])

    def forget(self, pid: int) -> None:
        """Stop watching a child that has ended."""
        if self._watched.pop(pid, None):
            self._tell(f"- {pid}\n")

    async def stop(self) -> None:
        """End the process; the caller has ended the children."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
        if self._process is None:
            return
        process, self._process = self._process, None
        _write(process, "bye\n")
        _close(process)
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await wait_for_exit(process)
        except TimeoutError:
            process.kill()
            await wait_for_exit(process)

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_ROOT), self._run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A session of its own: Ctrl-C in the terminal is not for it.
            start_new_session=True,
            pass_fds=(self._lock_fd,),
            env={"PATH": os.environ.get("PATH", os.defpath)},
            cwd="/",
        )
        for line in self._watched.values():
            self._tell(line)

    def _tell(self, line: str) -> None:
        if self._process:
            _write(self._process, line)

    async def _keep(self) -> None:
        while self._process is not None:
            code = await wait_for_exit(self._process)
            _log.warning("watchdog_ended", code=code)
            _close(self._process)
            self._spawn()
            # Something that kills it at once must not become a storm of processes.
            await asyncio.sleep(1.0)


def _write(process: subprocess.Popen[bytes], line: str) -> None:
    # A broken pipe means that it has just died: the keeper starts another, which is told everything again.
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            process.stdin.write(line.encode())
            process.stdin.flush()


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
