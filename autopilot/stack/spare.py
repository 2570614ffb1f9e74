"""Keeps one process in reserve that has loaded what every service loads: the next service to crash becomes it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from autopilot.stack import environment, processes
from autopilot.stack.spawn import spawn
from autopilot.stack.watchdog import Watchdog
from libs.runtime.spare import FLAG, Orders

_log = structlog.get_logger(__name__)

#: What services load that the runtime itself does not.
_MODULES = ("contracts.catalogue", "fastapi", "libs.runtime.http")


class Spare:
    """At most one waiting process. It holds no credential before it is given orders."""

    def __init__(self, run_id: str, watchdog: Watchdog, cwd: Path) -> None:
        self._mark = f"{run_id}/spare/"
        self._watchdog, self._cwd = watchdog, cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._over = False

    @property
    def pid(self) -> int | None:
        """The id of the process that waits."""
        return self._process.pid if self._process else None

    def prepare(self) -> None:
        """Start the process unless there is one. A failure costs nothing but the speed of the next restart."""
        if self._over or (self._process is not None and self._process.poll() is None):
            return
        self._discard()
        self._made += 1
        try:
            self._process = spawn(
                (sys.executable, "-m", "libs.runtime", FLAG, *_MODULES),
                env=environment.for_spare(),
                cwd=self._cwd,
                mark=f"{self._mark}{self._made}",
                stdin=subprocess.PIPE,
            )
        except OSError as error:
            _log.warning("no_spare", error=str(error))
            return
        self._watchdog.watch(self._process.pid, signal.SIGKILL)

    def take(
        self, arguments: Sequence[str], env: Mapping[str, str], mark: str
    ) -> subprocess.Popen[bytes] | None:
        """Give the waiting process its orders and return it; None if there is none that hears them."""
        process, self._process = self._process, None
        if process is None:
            return None
        orders = Orders(arguments=tuple(arguments), environment={**env, processes.MARK: mark})
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(orders) + b"\n")
            process.stdin.close()
        except OSError:
            self._process = process
            self._discard()
            return None
        return process

    def stop(self) -> None:
        """End the process; no other is started."""
        self._over = True
        self._discard()

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        self._watchdog.forget(process.pid)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
