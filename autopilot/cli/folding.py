"""Folds a task's stream for `replay`."""

from __future__ import annotations

from typing import Any

import msgspec

from autopilot.cli.database import answered, reading_dsn
from autopilot.cli.failure import UsageError
from autopilot.stack.config import StackConfig
from autopilot.wiring import services
from contracts.catalogue import registry
from contracts.message import Recorded, stream_name
from libs.eventsourcing.decider import Decider
from libs.eventstore.postgres import PostgresStore


async def state_at(config: StackConfig, task_id: str, position: int | None) -> dict[str, Any] | None:
    """Return a task's state after the events up to a position (all, for None), with where they end.

    None where it had none by then. Raises CliError, SecretsError.
    """
    try:
        stream = stream_name("task", task_id)
    except ValueError as error:
        raise UsageError(f"--task: {error}") from error
    events = [
        event
        for event in await answered(_read(reading_dsn(config), stream))
        if position is None or event.position <= position
    ]
    if not events:
        return None
    last = events[-1]
    return {
        "task": task_id,
        "position": last.position,
        "version": last.version,
        "event": last.type,
        "recorded_at": last.recorded_at.isoformat(),
        "state": msgspec.to_builtins(
            _decider("task").fold(event.event for event in events), order="deterministic", str_keys=True
        ),
    }


async def _read(dsn: str, stream: str) -> list[Recorded]:
    store = await PostgresStore.connect(dsn, registry, pool_size=1)
    try:
        return await store.read_stream(stream)
    finally:
        await store.close()


def _decider(category: str) -> Decider[Any, Any]:
    return next(one for service in services() for one in service.owns if one.category == category)
