"""Control groups for sandboxes: finds out where they can be made, makes them, and removes what a crash left."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import structlog
from msgspec import Struct

from libs.sandbox.hierarchies import SELF, mounted, words
from libs.sandbox.layout import Place

Controller = Literal["memory", "pids"]

#: what our groups are called: after the process that made them and its start time, which no other process of the
#: machine ever shares, so two stacks never clash and everybody sees whose maker is gone
_PREFIX = "autopilot-"
#: what a trial group may take: bytes, and processes
_TRIAL = (64 << 20, 8)

_log = structlog.get_logger(__name__)
_numbers = itertools.count(1)
#: ours that somebody was still in when they were to be removed: tried again with the next ones
_left: list[str] = []


class Parent(Struct, frozen=True, kw_only=True):
    """A group in which others can be made."""

    #: of the interface: 1 or 2
    version: int
    path: str


class Groups(Struct, frozen=True, kw_only=True):
    """Where groups can be made for memory and for processes; None where they cannot, and a line for each that says why."""

    memory: Parent | None = None
    pids: Parent | None = None
    missing: tuple[str, ...] = ()

    @property
    def enforcement(self) -> str:
        """Say in a line who holds the limits here, and what is missing where that is not the kernel."""
        held = [
            f"{what} by control groups (version {parent.version})"
            for what, parent in (("memory", self.memory), ("processes", self.pids))
            if parent
        ]
        if self.memory is None:
            held.append("memory by samples every 100 ms")
        if self.pids is None:
            held.append("processes by samples and, but for root, RLIMIT_NPROC")
        return "; ".join((*held, *self.missing))

    @contextmanager
    def made(self, memory: int, processes: int) -> Iterator[tuple[Place | None, Place | None]]:
        """Make the groups of one sandbox, with their limits in bytes and in processes, and remove them. Raises OSError."""
        name = f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"
        folders: list[str] = []
        try:
            yield (
                None
                if self.memory is None
                else _made(self.memory, name, _memory(self.memory, memory), folders),
                None if self.pids is None else _made(self.pids, name, {"pids.max": processes}, folders),
            )
        finally:
            _left[:] = [folder for folder in (*_left, *folders) if not _removed(folder)]


def _memory(parent: Parent, limit: int) -> dict[str, int]:
    """Say what is written for a limit of memory, in order; what has a `?` only where it is there."""
    if parent.version == 1:
        # The second is memory and swap together, and cannot be lower than the first.
        return {"memory.limit_in_bytes": limit, "?memory.memsw.limit_in_bytes": limit}
    return {"memory.max": limit, "?memory.swap.max": 0, "?memory.oom.group": 1}


def _made(parent: Parent, name: str, limits: dict[str, int], folders: list[str]) -> Place:
    folder = f"{parent.path}/{name}"
    if folder not in folders:
        os.mkdir(folder)
        folders.append(folder)
    for file, value in limits.items():
        path = f"{folder}/{file.removeprefix('?')}"
        if not file.startswith("?") or os.path.exists(path):
            _write(path, str(value))
    return Place(version=parent.version, folder=folder)


def _write(path: str, text: str) -> None:
    # Without O_CREAT, as `open` would have it: what is not there is not made.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


def _removed(folder: str) -> bool:
    try:
        # Refused by the kernel while somebody is in it.
        os.rmdir(folder)
    except OSError as error:
        _log.debug("control_group_stays", group=folder, error=str(error))
        return False
    return True


def sweep(groups: Groups) -> list[str]:
    """Remove the groups whose maker is gone, and return them; those of stacks that live are left alone."""
    swept: list[str] = []
    for path in sorted({parent.path for parent in (groups.memory, groups.pids) if parent}):
        for name in sorted(os.listdir(path)):
            pid, _, rest = name.removeprefix(_PREFIX).partition("-")
            ours = name.startswith(_PREFIX) and pid.isdigit()
            if ours and _started(int(pid)) != rest.partition("-")[0] and _removed(f"{path}/{name}"):
                swept.append(f"{path}/{name}")
    if swept:
        _log.info("control_groups_removed", groups=swept)
    return swept


def _started(pid: int) -> str:
    """Start time in clock ticks, or "" for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The command's name, in parentheses, may itself contain spaces and parentheses.
    return text.rpartition(") ")[2].split()[19]


def find(proc: Path = SELF) -> Groups:
    """Look for places and try each out with a process; what a crash left there is removed."""
    memory, no_memory = _parent("memory", proc)
    pids, no_pids = _parent("pids", proc)
    found = Groups(memory=memory, pids=pids, missing=tuple(filter(None, (no_memory, no_pids))))
    sweep(found)
    return found


def _parent(controller: Controller, proc: Path) -> tuple[Parent | None, str]:
    refused = "no mounted hierarchy has the controller"
    for parent in _candidates(controller, proc):
        try:
            _try_out(controller, parent)
        except OSError as error:
            refused = f"{error.filename or parent.path}: {error.strerror}"
        else:
            return parent, ""
    return None, f"no control group can be made for {controller} ({refused})"


def _candidates(controller: Controller, proc: Path) -> Iterator[Parent]:
    """Our own group and, since with version 2 limits below it need one without processes, the one around it."""
    for hierarchy in mounted(proc):
        own = hierarchy.own(proc, controller)
        if hierarchy.version == 1 and controller in hierarchy.controllers:
            yield Parent(version=1, path=own)
        elif hierarchy.version == 2:
            around = own if own == hierarchy.path else os.path.dirname(own)
            for path in dict.fromkeys((own, around)):
                if controller in words(f"{path}/cgroup.controllers"):
                    _enable(path, controller)
                    yield Parent(version=2, path=path)


def _enable(path: str, controller: Controller) -> None:
    if controller not in words(f"{path}/cgroup.subtree_control"):
        try:
            _write(f"{path}/cgroup.subtree_control", f"+{controller}")
        except OSError as error:
            # Not ours, or processes are in it: the trial will fail and say so.
            _log.debug("controller_not_enabled", group=path, controller=controller, error=str(error))


def _try_out(controller: Controller, parent: Parent) -> None:
    """Put a process into a group with limits. Raises OSError."""
    groups = Groups(memory=parent) if controller == "memory" else Groups(pids=parent)
    # It reads until we close its input: it is there for as long as it is needed and no longer.
    with (
        groups.made(*_TRIAL) as places,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
    ):
        for place in filter(None, places):
            _write(f"{place['folder']}/cgroup.procs", str(process.pid))
