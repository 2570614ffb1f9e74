"""Section `record`: append, commit to consumer, and replay, each beside the bare client doing the same.

The bare side gets its rows ready-made: columns, JSON and hashes. Ours starts from event objects, so its figures hold
encoding, validation, hash chain, stream heads, rights and outbox as well. Both sides take turns of a fraction of a
second to a few seconds, in an order that changes, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from autopilot import wiring
from contracts.catalogue import registry
from contracts.message import Meta
from contracts.stage import StageResumed
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.row import Sealed
from libs.eventstore.store import Append, NewEvent, StreamAppend, StreamHead
from loadtest.bench.servers import Servers, servers

#: The service whose role ours logs in as.
SERVICE = "stage-runner"
COLUMNS = "xid, stream, category, version, id, type, schema_version, data, meta, prev_hash, hash, recorded_at"
BARE_INSERT = f"insert into bare ({COLUMNS}) values (pg_current_xact_id()::text::bigint, $1, 'run', $2, $3, $4, $5, $6, $7, $8, $9, $10)"  # noqa: S608
META = Meta(
    service=SERVICE, causation_id=str(uuid.UUID(int=1)), correlation_id="t-1", lease="stage-runner-1:1"
)


def event(stream: int) -> NewEvent:
    """Make an event of about 400 bytes with its meta."""
    return NewEvent(
        id=str(uuid.uuid4()),
        event=StageResumed(
            run_id=f"r{stream}",
            task_id=f"t{stream}",
            stage="verify",
            attempt=1,
            replica="stage-runner-1",
            epoch=7,
            reason="the lease of stage-runner-2 lapsed " + "x" * 140,
        ),
        meta=META,
        recorded_at=datetime.now(UTC),
    )


def batch(stream: int, size: int) -> Append:
    """Begin a stream with a batch."""
    head = StreamHead(stream=f"run-r{stream}")
    return Append(
        service=SERVICE,
        streams=(StreamAppend(head=head, events=tuple(event(stream) for _ in range(size))),),
    )


def bare_rows(sealed: Sealed) -> list[tuple[Any, ...]]:
    """Give the rows of an append as `BARE_INSERT` takes them."""
    return [
        (
            row.stream,
            row.version,
            uuid.UUID(row.id),
            row.type,
            row.schema_version,
            row.data.decode(),
            row.meta.decode(),
            bytes.fromhex(row.prev_hash),
            bytes.fromhex(row.hash),
            row.recorded_at,
        )
        for row in sealed.rows
    ]


class Bench:
    """The servers, a bare connection and our store."""

    def __init__(
        self, found: Servers, bare: asyncpg.Connection[asyncpg.Record], store: PostgresStore
    ) -> None:
        self.servers, self.bare, self.store = found, bare, store
        self._streams = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """The servers' first processes."""
        return tuple(self.servers.pids.values())

    def batches(self, size: int, count: int) -> list[Append]:
        """Prepare appends to new streams."""
        first = self._streams
        self._streams += count
        return [batch(first + place, size) for place in range(count)]

    async def insert(self, rows: list[tuple[Any, ...]]) -> None:
        """Insert one batch in one transaction, bare."""
        if len(rows) == 1:
            await self.bare.execute(BARE_INSERT, *rows[0])
        else:
            await self.bare.executemany(BARE_INSERT, rows)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Start the servers with our schema, and a table like that of the events, its indexes and checks included."""
    async with servers() as found:
        await wiring.migrate(found.dsn)
        bare = await asyncpg.connect(found.dsn)
        await bare.execute("create table bare (like events including all)")
        store = await PostgresStore.connect(found.service_dsns[SERVICE], registry)
        try:
            yield Bench(found, bare, store)
        finally:
            await store.close()
            await bare.close()
