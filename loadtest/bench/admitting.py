"""Tasks admitted through the real store: from `submit` to the slot with the first stage requested, as the service does it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from contracts.catalogue import registry
from contracts.message import Recorded
from contracts.task import RepoSpec, TaskSpec
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import LeaseClaim
from libs.messaging.memory import MemoryBus, MemoryServer
from libs.messaging.topology import derive
from libs.runtime.clock import RandomIds, SystemClock
from libs.runtime.config import Config
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.app import service
from services.scheduler.domain.admission import MAX_LIMIT, Limit
from services.scheduler.domain.commands import Submit
from services.scheduler.handlers import operate, submit

#: Tasks of one request, requests at a time, and tasks in all: each gets a slot at once.
BATCH, AT_A_TIME, TASKS = 20, 8, MAX_LIMIT
LEASE_S = 600.0


@asynccontextmanager
async def leading(dsn: str) -> AsyncIterator[Running]:
    """Connect a scheduler that leads; what it publishes goes nowhere, as where a relay is behind."""
    store = await PostgresStore.connect(dsn, registry, pool_size=service.connections)
    server = MemoryServer(derive([service.declaration]), SystemClock())

    async def unpublished(events: tuple[Recorded, ...]) -> None:
        """Leave them in the outbox."""

    running = Running(
        service,
        config=_config(dsn),
        store=store,
        bus=MemoryBus(server, registry, service.name),
        clock=SystemClock(),
        ids=RandomIds(),
        publish=unpublished,
    )
    lease = await store.acquire(service.name, running.config.holder, LEASE_S, takeover=True)
    assert lease is not None
    running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
    try:
        yield running
    finally:
        await store.close()


async def admissions_per_s(dsn: str) -> float:
    """Return how many tasks a second get from their submission to their slot."""
    async with leading(dsn) as running:
        wish = Limit(max_concurrent=MAX_LIMIT, actor="bench")
        await running.perform(lambda work: operate(work, wish))
        batches = itertools.batched(range(TASKS), BATCH)
        free = asyncio.Semaphore(AT_A_TIME)
        began = time.perf_counter()
        await asyncio.gather(*(_submit(running, batch, free) for batch in batches))
        seconds = time.perf_counter() - began
        admitted = sum([len(await running.store.heads("task", limit=1)) for _ in range(1)])
    return TASKS / seconds
