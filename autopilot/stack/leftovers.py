"""Ends what an earlier supervisor of the same data directory left, should even its watchdog have been killed."""

from __future__ import annotations

import asyncio

import structlog

from autopilot.stack import processes, status
from autopilot.stack.config import POSTGRES, StackConfig

_log = structlog.get_logger(__name__)

_SWEEPS = 500


async def end_leftovers(config: StackConfig) -> None:
    """Kill the processes of the last run that are still there.

    Called under the lock of the data directory, so they are nobody's. Postgres is left to its own clean-up, which
    ends it in the gentle order.
    """
    last = status.read(config.stack_file)
    if last is None:
        return
    for name, process in last.processes.items():
        if name == POSTGRES or process.pid is None or process.identity is None:
            continue
        if processes.is_running(process.pid, process.identity):
            _log.warning("left_by_earlier_run", child=name, pid=process.pid)
            processes.kill_group(process.pid, process.identity)
    for _ in range(_SWEEPS):
        if not processes.kill_marked(f"{last.run_id}/"):
            break
        await asyncio.sleep(0.01)
    config.stack_file.unlink(missing_ok=True)
