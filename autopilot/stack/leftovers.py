"""Ends what an earlier supervisor of the same data directory left, should even its watchdog have been killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from autopilot.stack import cluster, processes, status
from autopilot.stack.config import POSTGRES, StackConfig

_log = structlog.get_logger(__name__)

_POLL_S = 0.01
_TIMEOUT_S = 10.0


async def end_leftovers(config: StackConfig, sockets: Path) -> None:
    """End the processes of the last run that are still there, so that their ports are free when this returns.

    Called under the lock of the data directory, so they are nobody's. Raises `PartFailedError` if the database's do
    not end.
    """
    last = status.read(config.stack_file)
    if last is None:
        return
    remains = [
        (name, process.pid, process.identity)
        for name, process in last.processes.items()
        if process.pid and process.identity and processes.is_running(process.pid, process.identity)
    ]
    for name, pid, seen in remains:
        _log.warning("left_by_earlier_run", child=name, pid=pid)
        # The database goes its own, gentler way below.
        if name != POSTGRES:
            processes.kill_group(pid, seen)
    await cluster.reclaim(config, sockets)
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_S
    while asyncio.get_running_loop().time() < deadline:
        killed = processes.kill_marked(f"{last.run_id}/")
        if not killed and not any(processes.is_running(pid, seen) for _, pid, seen in remains):
            break
        await asyncio.sleep(_POLL_S)
    config.stack_file.unlink(missing_ok=True)
