"""Audits one bus until cancelled, whatever goes away meanwhile: what the bus's admin runs beside its own work."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog

from contracts.message import SUBJECT_ROOT, Registry, subject_filter
from libs.busaudit.auditor import LOOK_S, Auditor
from libs.busaudit.jetstream import JetStreamView
from libs.busaudit.ports import Wanted
from libs.busaudit.postgres import PostgresRecord
from libs.eventstore.store import EventStoreError
from libs.messaging.bus import BusError
from libs.messaging.connection import Connection
from libs.messaging.subject import covers
from libs.messaging.topology import AUDITOR, Topology

log = structlog.get_logger(__name__)

#: Seconds that connecting to the bus may take.
CONNECT_S = 5.0


def wanted_by(topology: Topology, registry: Registry) -> tuple[Wanted, ...]:
    """Derive which types each durable takes from what it filters."""
    found = []
    for consumer in topology.consumers:
        everything = f"{SUBJECT_ROOT}.>" in consumer.filters
        types = tuple(
            type_
            for type_, event in registry.classes.items()
            if any(covers(pattern, subject_filter(event)) for pattern in consumer.filters)
        )
        found.append(Wanted(durable=consumer.durable, types=None if everything else types))
    return tuple(found)


async def keep_audited(
    *,
    dsn: str,
    url: str,
    password: str,
    topology: Topology,
    registry: Registry,
    rebuild: Callable[[int], Awaitable[None]],
) -> None:
    """Audit until cancelled. `dsn` may write the auditor's tables; `rebuild` is the admin's."""
    holder = f"auditor-{secrets.token_hex(6)}"
    wanted = wanted_by(topology, registry)
    while True:
        try:
            async with AsyncExitStack() as stack:
                record = await PostgresRecord.connect(dsn, registry, holder)
                stack.push_async_callback(record.close)
                connection = await Connection.open(
                    url, user=AUDITOR, password=password, name=AUDITOR, timeout_s=CONNECT_S
                )
                stack.push_async_callback(connection.close)
                view = JetStreamView(connection, rebuild)
                chance = random.Random()  # noqa: S311
                await _look(Auditor(view, record, wanted, registry, lambda: datetime.now(UTC), chance))
        except (BusError, EventStoreError) as error:
            log.warning("audit_not_begun", error=str(error))
        except Exception:
            # A defect of ours must not end the supervisor that this runs in.
            log.exception("audit_failed")
        await asyncio.sleep(LOOK_S)


async def _look(auditor: Auditor) -> None:
    before = ""
    while True:
        wait_s, error = LOOK_S, ""
        try:
            wait_s = await auditor.look()
        except (BusError, EventStoreError) as failure:
            # A bus or a record that is away shows elsewhere; what matters is that the audit goes on afterwards.
            error = f"{type(failure).__name__}: {failure}"
        except Exception:
            log.exception("audit_failed")
        if error != before:
            log.warning("audit_interrupted", error=error) if error else log.info("audit_goes_on")
        before = error
        await asyncio.sleep(wait_s)
