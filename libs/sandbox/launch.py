"""Starts a supervisor process for a command and waits for what it reports."""

from __future__ import annotations

import asyncio
import marshal
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import structlog
from msgspec import Struct

from libs.sandbox.command import Command, Ended, Outcome
from libs.sandbox.errors import SandboxError
from libs.sandbox.groups import Groups
from libs.sandbox.layout import Spec, spec

#: seconds, beyond the command's own limit, in which a supervisor must have built, buried and reported
_PATIENCE_S = 45.0
#: seconds after which a supervisor that was told to stop is killed; its sandbox then dies with it
_STOP_S = 1.5
_MAX_REPORT = 2**16
_ENTRY = "import sys; sys.path.append(sys.argv[1]); from libs.sandbox.supervisor import main; main()"
_ROOT = str(Path(__file__).parents[2])
#: the real file, because a bare interpreter has no use for a virtual environment
_INTERPRETER = os.path.realpath(sys.executable)

#: the ways in which a command can be isolated
Kind = Literal["bubblewrap", "namespaces"]

_log = structlog.get_logger(__name__)


class Backend(Struct, frozen=True, kw_only=True):
    """How sandboxes are built on this machine."""

    kind: Kind
    #: absolute path of bubblewrap's program, or "" for our own set-up
    bwrap: str = ""
    bwrap_disables_userns: bool = False
    #: where the kernel holds the limits of memory and processes; elsewhere they are sampled
    groups: Groups = Groups()


async def launch(command: Command, output: Path, backend: Backend) -> Outcome:
    """Run the command in a sandbox of the given kind; raises SandboxError when there could be none.

    When cancelled, ends the whole sandbox first.
    """
    limits = command.limits
    try:
        # One process more than the command may have: process 1 of its namespace is ours.
        with backend.groups.made(limits.memory_mb * 2**20, limits.processes + 1) as places:
            written = spec(command, backend.bwrap, backend.bwrap_disables_userns, *places)
            return await _carried_out(written, output, command)
    except OSError as error:
        raise SandboxError("control group", str(error)) from error


async def _carried_out(written: Spec, output: Path, command: Command) -> Outcome:
    process, status, lifeline = _spawn(written, output, command)
    report = bytearray()
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    def read() -> None:
        data = os.read(status, _MAX_REPORT)
        if len(report) < _MAX_REPORT:
            report.extend(data)
        if not data:
            loop.remove_reader(status)
            closed.set_result(None)

    loop.add_reader(status, read)
    try:
        done, _ = await asyncio.wait({closed}, timeout=command.limits.wall_s + _PATIENCE_S)
        if not done:
            raise SandboxError("supervisor", "gave no answer in time and was killed with all its processes")
    finally:
        # Closing the lifeline is the order to end; it is also what happens when this process is killed.
        os.close(lifeline)
        await _wait_for(closed, process)
        if not closed.done():
            loop.remove_reader(status)
        os.close(status)
    return read_report(bytes(report))


def _spawn(written: Spec, output: Path, command: Command) -> tuple[subprocess.Popen[bytes], int, int]:
    kept: list[int] = []
    passing: list[int] = []
    try:
        words = os.memfd_create("sandbox-spec")
        passing.append(words)
        with open(words, "wb", closefd=False) as file:
            # marshal, since the same interpreter reads it; json would cost 6 ms there.
            file.write(marshal.dumps(dict(written)))
        os.lseek(words, 0, os.SEEK_SET)
        lifeline_end, lifeline = os.pipe()
        passing.append(lifeline_end)
        kept.append(lifeline)
        status, status_end = os.pipe()
        passing.append(status_end)
        kept.append(status)
        printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        passing.append(printed)
        # Popen and not asyncio's processes: no child watcher, whose threads and signals differ between loops.
        process = subprocess.Popen(
            [_INTERPRETER, "-I", "-S", "-c", _ENTRY, _ROOT, str(words)],
            stdin=lifeline_end,
            stdout=printed,
            stderr=status_end,
            env=_environment(command),
            pass_fds=(words, *command.pass_fds),
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        for fd in kept:
            os.close(fd)
        raise SandboxError("supervisor", str(error)) from error
    finally:
        for fd in passing:
            os.close(fd)
    return process, status, lifeline


def _environment(command: Command) -> dict[str, str]:
    """The supervisor's own; the command never sees more of it than the cookie."""
    # Some Pythons do not start without the first.
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    if command.cookie:
        environment["AUTOPILOT_COOKIE"] = command.cookie
    return environment


async def _wait_for(closed: asyncio.Future[None], process: subprocess.Popen[bytes]) -> None:
    """Wait until the supervisor has buried all, whatever else cancels us meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _STOP_S
    killed = False
    while not closed.done():
        try:
            await asyncio.wait({closed}, timeout=max(0.0, deadline - loop.time()))
        except asyncio.CancelledError as error:
            cancelled = error
        if not closed.done() and loop.time() >= deadline:
            if killed:
                _log.warning("sandbox_slow_to_die", supervisor=process.pid)
                break
            process.send_signal(signal.SIGKILL)
            killed, deadline = True, loop.time() + 0.3
    if closed.done():
        process.wait()  # its last act was to close the pipe
    if cancelled is not None:
        raise cancelled


def read_report(report: bytes) -> Outcome:
    """Read what a supervisor wrote before it exited; raises SandboxError for anything but an outcome."""
    said, _, fields = report.partition(b"\0\0")
    words = fields.decode("utf-8", "replace").split("\0")
    match words:
        case ["error", stage, cause]:
            raise SandboxError(stage, cause)
        case ["ended", reason, status, duration, cpu, peak, most, printed, kept] if (
            reason == "exited"
        ) == status.isdigit():
            ended = Ended(reason)
        case _:
            raise SandboxError(
                "supervisor", said.decode("utf-8", "replace").strip()[-2000:] or "died without a word"
            )
    exit_code = number = None
    if ended is Ended.EXITED:
        code = os.waitstatus_to_exitcode(int(status))
        exit_code = 128 - code if code < 0 else code
        number = exit_code - 128 if exit_code - 128 in signal.valid_signals() else None
    return Outcome(
        ended=ended,
        exit_code=exit_code,
        signal=number,
        duration_s=float(duration),
        cpu_s=round(float(cpu), 3),
        peak_memory_mb=round(int(peak) / 2**20, 1),
        peak_processes=int(most),
        output_bytes=int(printed),
        truncated=int(printed) > int(kept),
    )
