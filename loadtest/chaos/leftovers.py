"""An end that leaves nothing behind: of a suite that is told to end, and of one that was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import FrameType

from autopilot.stack import detach, processes, status
from autopilot.stack.config import StackConfig
from autopilot.stack.errors import StackError

#: Begins the name of every directory of a suite.
PREFIX = "autopilot-chaos-"
DATA = "data"
_OWNER = "suite"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds for a stack that nobody has any more to end, before it is killed.
_STOP_S = 30.0


def end_once() -> None:
    """Let the first signal end the suite, and further ones not disturb it while it stops its stack."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in _SIGNALS:
        signal.signal(one, end)


def claim(folder: Path) -> None:
    """Write down whose directory this is."""
    (folder / _OWNER).write_text(f"{os.getpid()} {processes.identity(os.getpid())}", encoding="utf-8")


def sweep() -> list[str]:
    """Remove what suites that were killed have left in the temporary directory; return its names."""
    swept = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError, ValueError):
            pid, _, seen = (folder / _OWNER).read_text(encoding="utf-8").partition(" ")
            if not processes.is_running(int(pid), seen):
                remove(folder)
                swept.append(folder.name)
    return swept


def remove(folder: Path) -> None:
    """End the stack of a directory, unmount what is mounted in it and remove it. Raises OSError."""
    data = folder / DATA
    config = StackConfig.from_arguments(data, ephemeral_ports=True)
    last = status.read(config.stack_file)
    with contextlib.suppress(StackError):
        detach.stop_running(config, timeout_s=_STOP_S)
    while last is not None and processes.kill_marked(f"{last.run_id}/"):
        pass
    if os.path.ismount(data):
        subprocess.run(["umount", "--lazy", str(data)], check=True, timeout=20)
    shutil.rmtree(folder)
