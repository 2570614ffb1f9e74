"""A scheduler that finds a long queue in the record: how long until it knows it, and what it takes of memory then."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime

import msgspec

from contracts.admission import TaskEnqueued
from contracts.message import Meta
from libs.eventstore.store import Append, NewEvent, StreamAppend, StreamHead
from libs.runtime import snapshots
from libs.runtime.running import Running
from loadtest.bench import usage
from loadtest.bench.admitting import leading
from loadtest.bench.deciding import STREAM, enqueue
from services.scheduler.domain.admission import POOL, admission

QUEUED, CHUNK = 100_000, 1_000


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that has just started says."""

    queued: int
    seconds: float
    pss_mib: float


async def fill(running: Running) -> None:
    """Put a long queue into the record, as submissions would have."""
    head, _ = await snapshots.load(running.store, admission, STREAM)
    meta, now = Meta(service=running.service.name), datetime.now(UTC)
    for first in range(0, QUEUED, CHUNK):
        wishes = [enqueue(number) for number in range(first, first + CHUNK)]
        facts = [
            TaskEnqueued(
                task_id=one.task_id, priority=one.priority, queue=one.queue, depends_on=one.depends_on
            )
            for one in wishes
        ]
        events = tuple(
            NewEvent(id=running.ids.new(), event=fact, meta=meta, recorded_at=now) for fact in facts
        )
        *_, last = await running.store.append(
            Append(
                service=running.service.name,
                streams=(StreamAppend(head=head, events=events),),
                lease=running.lease,
            )
        )
        head = StreamHead(stream=STREAM, version=last.version, hash=last.hash)


async def keep(running: Running) -> float:
    """Make the snapshot that the long queue would have by now, and return the seconds that it took."""
    head, state = await snapshots.load(running.store, admission, STREAM)
    began = time.perf_counter()
    await snapshots.save(running.store, admission, head, state)
    return time.perf_counter() - began


async def recovery(dsn: str) -> Recovery:
    """Start a process that recovers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, env={**os.environ, "BENCH_DSN": dsn}, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    return msgspec.json.decode(told, type=Recovery)


async def _recover(dsn: str) -> Recovery:
    async with leading(dsn) as running:
        began = time.perf_counter()
        pool = await running.perform(lambda work: work.load(admission, POOL))
        seconds = time.perf_counter() - began
        return Recovery(queued=len(pool.waiting), seconds=seconds, pss_mib=usage.pss_mib([os.getpid()]))


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(_recover(os.environ["BENCH_DSN"]))).decode())
