"""Keeps one process that has loaded what the services load, and has it fork them; see `libs/runtime/zygote.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
import structlog

from autopilot.stack import environment, processes
from autopilot.stack.exits import wait_for_exit
from autopilot.stack.logs import Pump, RotatedLog
from autopilot.stack.restart import RestartPolicy, Restarts
from autopilot.stack.spawn import spawn
from autopilot.stack.watchdog import Watchdog
from libs.runtime.zygote import FLAG, Orders
from libs.sandbox import kernel

_log = structlog.get_logger(__name__)

#: Seconds for loading, which takes about one of processor time: a plain start would have to load as well.
_LOAD_S = 20.0
#: Seconds for a fork, which takes some milliseconds.
_FORK_S = 5.0


class Forked:
    """A child of this process that the zygote forked, with the face of `subprocess.Popen`."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid, self.stdout = pid, stdout
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal), None before the end."""
        return self._collect(os.WNOHANG)

    def wait(self) -> int:
        """Block until the end and return the exit code."""
        code = self._collect(0)
        assert code is not None
        return code

    def kill(self) -> None:
        """Send SIGKILL; nothing if it has ended."""
        # Until it is collected its id belongs to nobody else.
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def _collect(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


class Zygote:
    """At most one such process, started anew when it ends. It never holds a credential."""

    def __init__(
        self,
        modules: Sequence[str],
        *,
        run_id: str,
        watchdog: Watchdog,
        cwd: Path,
        log_file: Path,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._argv = (sys.executable, "-m", "libs.runtime", FLAG, *modules)
        self._mark = f"{run_id}/zygote/"
        self._watchdog, self._cwd = watchdog, cwd
        self._output = RotatedLog(log_file)
        self._restarts = Restarts(policy or RestartPolicy())
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        #: Set where waiting is of no use: one has loaded, or could not.
        self._settled = asyncio.Event()
        #: Since when the process has loaded, None before it has.
        self._ready_since: float | None = None
        self._forking = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process and keep one from now on."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="zygote")

    async def stop(self) -> None:
        """End the process; what it has forked goes on."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def fork(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, mark: str
    ) -> Forked | None:
        """Fork a process that `python -m libs.runtime` with these arguments would be; None if that did not work."""
        orders = Orders(
            arguments=tuple(arguments),
            environment={**env, processes.MARK: mark},
            shown=(processes.MARK,),
            cwd=str(cwd),
        )
        try:
            async with self._forking:
                async with asyncio.timeout(_LOAD_S):
                    await self._settled.wait()
                if self._requests is None:
                    return None
                async with asyncio.timeout(_FORK_S):
                    return await _fork(self._requests, msgspec.json.encode(orders) + b"\n")
        except (OSError, ValueError) as error:
            _log.warning("not_forked", mark=mark, error=repr(error))
            # It hangs, or it is ending: the next one may do better.
            if self._process is not None:
                self._process.kill()
            return None

    async def _keep(self) -> None:
        number = 0
        clock = asyncio.get_running_loop().time
        while True:
            number += 1
            self._ready_since = None
            self._settled.clear()
            reason = await self._run_once(f"{self._mark}{number}")
            delay = self._restarts.after_crash(clock(), self._ready_since)
            _log.warning("zygote_ended", reason=reason, restart_in_s=delay)
            if delay is None:
                self._settled.set()
                return
            await asyncio.sleep(delay)

    async def _run_once(self, mark: str) -> str:
        """Run one process to its end and return how it ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setblocking(False)
            with theirs:
                try:
                    process = spawn(
                        self._argv,
                        env=environment.for_zygote(),
                        cwd=self._cwd,
                        mark=mark,
                        stdin=theirs.fileno(),
                    )
                except OSError as error:
                    self._settled.set()
                    return str(error)
            assert process.stdout is not None
            self._process = process
            self._watchdog.watch(process.pid, signal.SIGKILL)
            pump = Pump(process.stdout.fileno(), self._output)
            try:
                if await asyncio.get_running_loop().sock_recv(ours, 16):
                    self._requests = ours
                    self._ready_since = asyncio.get_running_loop().time()
                self._settled.set()
                return f"exit code {await wait_for_exit(process)}"
            finally:
                if self._requests is not None:
                    # Whoever asks now waits for the next one: loading twice at once would take both twice as long.
                    self._settled.clear()
                self._requests = self._process = None
                process.kill()
                process.wait()
                self._watchdog.forget(process.pid)
                pump.finish()
                process.stdout.close()
                self._output.close()


async def _fork(requests: socket.socket, orders: bytes) -> Forked:
    """Ask for a process and give it its orders. Raises OSError, and ValueError where there is no answer."""
    reading, writing = os.pipe()
    output = os.fdopen(reading, "rb", 0)
    ours, theirs = socket.socketpair()
    try:
        with ours, _adopting():
            ours.setblocking(False)
            with theirs:
                socket.send_fds(requests, [b"+"], [theirs.fileno(), writing])
            pid = int(await asyncio.get_running_loop().sock_recv(ours, 32))
            forked = Forked(pid, output)
            # Raises ChildProcessError if it is not ours.
            forked.poll()
            # One that has ended already is found by whoever waits for it.
            with contextlib.suppress(ConnectionError):
                ours.sendall(orders)
    except BaseException:
        output.close()
        raise
    finally:
        os.close(writing)
    return forked


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Become the parent of descendants that are orphaned meanwhile.

    No longer than that: whatever a service leaves at its end would come here too, and nobody would ever wait for it.
    """
    kernel.become_subreaper()
    try:
        yield
    finally:
        kernel.become_subreaper(on=False)
