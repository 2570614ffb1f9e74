"""A small run of all services, recorded in a real Postgres, and a pen that changes the record past all protection."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from contracts.catalogue import registry
from libs.eventstore.postgres import PostgresStore
from libs.testing.postgres import SUPERUSER, TestPostgres
from libs.testing.world import World
from loadtest.checker import chain, record
from loadtest.checker.record import Row
from tests.system.walking import SERVICES, submit, wait_out

#: One that goes well, one that fails once, one that is given up, one that spends more tokens than it was granted first.
BODIES = {
    "good": "",
    "loop": "fail verify 1",
    "lost": "fail verify 9",
    "spends": "spend implement 800 3 700",
}


async def run_tasks(dsn: str, data_dir: str) -> None:
    """Carry the tasks through all seven services over this record."""
    world = World(SERVICES, data_dir)
    store = await PostgresStore.connect(dsn, registry)
    world.store = store  # type: ignore[assignment]
    try:
        await world.start_all()
        for task, body in BODIES.items():
            await submit(world, task, body=body)
        await world.settle()
        await wait_out(world)
        for name in list(world.running):
            await world.crash(name)
    finally:
        await store.close()


class Pen:
    """Writes where nobody may."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection

    async def do(self, statement: str, *args: object) -> None:
        """Run a statement that must change something."""
        assert await self.connection.execute(statement, *args) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0")

    async def rows(self) -> list[Row]:
        """Read the events in reading order."""
        return (await record.read(self.connection)).events

    async def first(self, type_: str, **data: Any) -> Row:
        """Find the first event of a type with these values."""
        return next(
            row
            for row in await self.rows()
            if row.type == type_ and all(row.data.get(name) == value for name, value in data.items())
        )

    async def append(self, like: Row, **changed: Any) -> None:
        """Append an event that resembles another, correctly hashed, with the head moved: only its meaning is wrong."""
        rows = await self.rows()
        before = [row for row in rows if row.stream == changed.get("stream", like.stream)]
        written = replace(
            like,
            **changed,
            id=str(uuid.uuid4()),
            position=max(row.position for row in rows) + 1,
            xid=max(row.xid for row in rows) + 1,
            version=max((row.version for row in before), default=0) + 1,
            prev_hash=before[-1].hash if before else "",
            recorded_at=datetime.now(UTC),
        )
        await self.insert(replace(written, category=written.stream.partition("-")[0]), hashed=True)

    async def insert(self, row: Row, *, hashed: bool = False) -> None:
        """Put a row into the table and make it the head of its stream."""
        digest = chain.digest(row) if hashed else row.hash
        await self.do(
            "insert into events (position, xid, stream, category, version, id, type, schema_version, data, meta,"
            " prev_hash, hash, recorded_at) overriding system value"
            " values ($1, $2, $3, $4, $5, $6::text::uuid, $7, $8, $9, $10, decode($11, 'hex'), decode($12, 'hex'), $13)",
            row.position,
            row.xid,
            row.stream,
            row.category,
            row.version,
            row.id,
            row.type,
            row.schema_version,
            row.data,
            row.meta,
            row.prev_hash,
            digest,
            row.recorded_at,
        )
        await self.do(
            "insert into streams (stream, category, version, hash, ended) values ($1, $2, $3, decode($4, 'hex'), false)"
            " on conflict (stream) do update set version = excluded.version, hash = excluded.hash",
            row.stream,
            row.category,
            row.version,
            digest,
        )

    async def rehash(self, stream: str) -> None:
        """Make the chain of a stream right again after its content was changed."""
        before = ""
        for row in [row for row in await self.rows() if row.stream == stream]:
            changed = replace(row, prev_hash=before)
            before = chain.digest(changed)
            await self.do(
                "update events set prev_hash = decode($1, 'hex'), hash = decode($2, 'hex') where position = $3",
                changed.prev_hash,
                before,
                row.position,
            )
        await self.do("update streams set hash = decode($1, 'hex') where stream = $2", before, stream)


@asynccontextmanager
async def pen_on(postgres: TestPostgres, template: str) -> AsyncIterator[Pen]:
    """Copy the recorded run and take every protection off the copy."""
    async with postgres.database(template) as name:
        connection = await record.connect(postgres.dsn(name, SUPERUSER))
        try:
            await connection.execute("alter table events disable trigger events_unchangeable")
            await connection.execute(
                "alter table events drop constraint events_id, drop constraint events_stream_version"
            )
            yield Pen(connection)
        finally:
            await connection.close()
