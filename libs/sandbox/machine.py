"""How much memory there is for what is executed here: available, not free, and no more than the container may have."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import dirname
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from libs.sandbox.hierarchies import SELF, mounted, words

#: `container`: the machine's memory, and the limits of the groups we are in · `host`: the machine's alone · `none`: it
#: is not looked at
Scope: TypeAlias = Literal["container", "host", "none"]

_MIB = 2**20
#: what version 1 says where there is no limit is about as much as can be addressed
_UNLIMITED = 2**60


class Memory(Struct, frozen=True, kw_only=True):
    """What there is, in MiB."""

    total_mb: int
    #: What can be had without anybody losing anything: caches are given up for it.
    available_mb: int
    #: Whose figures these are: `machine` or `container`.
    of: str = "machine"


def measure(scope: Scope = "container", proc: Path = SELF) -> Memory:
    """Measure now. Raises OSError where the kernel does not say."""
    told = dict(line.split(":", 1) for line in (proc.parent / "meminfo").read_text("ascii").splitlines())
    total, available = (int(told[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    found = Memory(total_mb=total, available_mb=available)
    if scope == "container":
        for limit, used in _limits(proc):
            if limit // _MIB < found.total_mb:
                found = Memory(
                    total_mb=limit // _MIB,
                    available_mb=min(found.available_mb, max(0, limit - used) // _MIB),
                    of="container",
                )
    return found


def shortfall(memory: Memory, reserve_mb: int, task_mb: int) -> str:
    """Say why a task of so many MiB could never be started here; empty where it could."""
    if reserve_mb + task_mb <= memory.total_mb:
        return ""
    return (
        f"the {memory.of} has {memory.total_mb} MB of memory, and {task_mb} MB for a task with {reserve_mb} MB in reserve"
        " (AUTOPILOT_CONFIG_MEMORY_RESERVE_MB) are more than that"
    )


def _limits(proc: Path) -> Iterator[tuple[int, int]]:
    """List the limits of the groups around us, with what is used of them and cannot be given up; bytes."""
    for hierarchy in mounted(proc):
        if hierarchy.version == 1 and "memory" not in hierarchy.controllers:
            continue
        group = hierarchy.own(proc, "memory")
        while True:
            if limit := _limit(group, hierarchy.version):
                yield limit, _used(group, hierarchy.version)
            if group == hierarchy.path:
                break
            group = dirname(group)


def _limit(group: str, version: int) -> int:
    said = words(f"{group}/{'memory.limit_in_bytes' if version == 1 else 'memory.max'}")
    limit = int(said[0]) if said and said[0].isdigit() else 0
    return limit if limit < _UNLIMITED else 0


def _used(group: str, version: int) -> int:
    usage = words(f"{group}/{'memory.usage_in_bytes' if version == 1 else 'memory.current'}")
    stat = words(f"{group}/memory.stat")
    idle = "total_inactive_file" if version == 1 else "inactive_file"
    # Files that were read and are not used now: the kernel gives them up before it refuses anybody.
    cached = int(stat[stat.index(idle) + 1]) if idle in stat else 0
    return int(usage[0]) - cached if usage else 0
