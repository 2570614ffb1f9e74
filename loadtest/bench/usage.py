"""What processes use: processor time and memory, by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import psutil


def families(roots: Iterable[int]) -> Iterator[psutil.Process]:
    """Yield processes and all their descendants, each once."""
    seen: set[int] = set()
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            for one in (process, *process.children(recursive=True)):
                if one.pid not in seen:
                    seen.add(one.pid)
                    yield one


def own_cpu_s(pid: int) -> float:
    """Return the seconds of processor time that one process has used so far, without its children."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def cpu_s(roots: Iterable[int]) -> float:
    """Return the seconds of processor time that these processes have used so far, reaped children included."""
    total = sum(own_cpu_s(process.pid) for process in families(roots))
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(root).cpu_times()
            total += times.children_user + times.children_system
    return total


def pss_mib(roots: Iterable[int]) -> float:
    """Return proportional memory in MiB: pages that several processes share count once in all."""
    total = 0
    for process in families(roots):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total / 2**20
