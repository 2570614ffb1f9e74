"""Tasks admitted through the real store: from `submit` to the slot with the first stage requested, as the service does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
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
from services.scheduler.handlers.wishes import operate, submit

#: Requests at a time, as from so many clients.
AT_A_TIME = 8
LEASE_S = 600.0


@asynccontextmanager
async def leading(dsn: str) -> AsyncIterator[Running]:
    """Connect a scheduler that leads. What it has to publish stays in the outbox: the bus is no part of this."""
    store = await PostgresStore.connect(dsn, registry, pool_size=service.connections)

    async def leave_it(events: tuple[Recorded, ...]) -> None:
        """Publish nothing."""

    running = Running(
        service,
        config=_config(dsn),
        store=store,
        bus=MemoryBus(MemoryServer(derive([service.declaration]), SystemClock()), registry, service.name),
        clock=SystemClock(),
        ids=RandomIds(),
        publish=leave_it,
    )
    lease = await store.acquire(service.name, running.config.holder, LEASE_S, takeover=True)
    assert lease is not None, "a takeover is not refused"
    running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
    try:
        yield running
    finally:
        await store.close()


async def rate(running: Running, tasks: int, batch: int) -> float:
    """Return how many tasks a second get from their submission to their slot, so many in a request."""
    await running.perform(lambda work: operate(work, Limit(max_concurrent=MAX_LIMIT, actor="bench")))
    free, name = asyncio.Semaphore(AT_A_TIME), f"bench-{batch}"

    async def one(first: int) -> None:
        async with free:
            await running.perform(lambda work: submit(work, _wishes(work, name, range(first, first + batch))))

    began = time.perf_counter()
    await asyncio.gather(*(one(first) for first in range(0, tasks, batch)))
    return tasks / (time.perf_counter() - began)


def _wishes(work: Work, name: str, numbers: range) -> list[Submit]:
    spec = TaskSpec(
        title="a task of no effect",
        repos=(RepoSpec(name="none", url="/nowhere/none.git"),),
        engine="noop",
        synthetic=True,
    )
    return [
        Submit(task_id=f"{name}-{number}", spec=spec, depends_on=(), request_digest="", now=work.now)
        for number in numbers
    ]


def _config(dsn: str) -> Config:
    return Config(
        service=service.name,
        replica=f"{service.name}-1",
        data_dir="/nowhere",
        postgres_dsn=dsn,
        nats_url="",
        nats_user="",
        nats_password="",
        http_port=0,
        api_token="",
        scrape_token="",
        session_key="",
    )
