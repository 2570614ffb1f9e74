"""Starts child processes that cannot outlive this one unnoticed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from autopilot.stack import processes
from autopilot.stack.errors import PartFailedError
from autopilot.stack.exits import wait_for_exit

_ENTRY = Path(__file__).with_name("entry.py")


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    mark: str,
    death_signal: signal.Signals = signal.SIGKILL,
    never_root: bool = False,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with its output on one pipe; raises `OSError`.

    `death_signal` reaches it when this process ends, however it ends. The kernel ties that to the thread that starts
    it: call this from the main thread. `never_root` gives a root supervisor's child an unprivileged user of its own.
    """
    namespace = "1" if never_root and os.geteuid() == 0 else "0"
    entry = [
        sys.executable,
        "-I",
        "-S",
        str(_ENTRY),
        str(os.getpid()),
        str(int(death_signal)),
        namespace,
        "--",
    ]
    return subprocess.Popen(
        [*entry, *argv],
        env={**env, processes.MARK: mark},
        cwd=cwd,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


async def run_tool(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    mark: str,
    part: str,
    timeout_s: float,
    never_root: bool = False,
) -> None:
    """Run a program to its end; raises `PartFailedError` with what it said, or when it takes too long.

    A cancelled caller takes the program and its children with it.
    """
    try:
        process = spawn(argv, env=env, cwd=cwd, mark=mark, never_root=never_root)
    except OSError as error:
        raise PartFailedError(part, f"{argv[0]} could not be started: {error}") from error
    seen = processes.identity(process.pid) or ""
    output: list[bytes] = []
    assert process.stdout is not None
    pipe = process.stdout
    os.set_blocking(pipe.fileno(), False)

    def collect() -> None:
        try:
            data = os.read(pipe.fileno(), 65536)
        except BlockingIOError:
            return
        if data:
            output.append(data)
            del output[:-8]
        else:
            loop.remove_reader(pipe.fileno())

    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), collect)
    try:
        async with asyncio.timeout(timeout_s):
            code = await wait_for_exit(process)
    except TimeoutError:
        raise PartFailedError(part, f"{argv[0]} did not end within {timeout_s:.0f} s") from None
    finally:
        processes.kill_group(process.pid, seen)
        process.wait()
        loop.remove_reader(pipe.fileno())
        collect()
        pipe.close()
    if code != 0:
        said = b"".join(output).decode(errors="replace").strip()
        raise PartFailedError(part, said[-2000:] or f"{argv[0]} ended with exit code {code}")
