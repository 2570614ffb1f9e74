"""The record as rows: one consistent look at every table that the rules are about."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

#: Seconds until a connection stands, and that one question may take.
CONNECT_S, CALL_S = 5.0, 60.0
_EVENTS = (
    "select position, xid, stream, category, version, id::text, type, schema_version, data, meta,"
    " encode(prev_hash, 'hex') as prev_hash, encode(hash, 'hex') as hash, recorded_at from events"
)


@dataclass(frozen=True)
class Row:
    """One row of `events`; hashes as hex, JSON parsed."""

    position: int
    xid: int
    stream: str
    category: str
    version: int
    id: str
    type: str
    schema_version: int
    data: dict[str, Any]
    meta: dict[str, Any]
    prev_hash: str
    hash: str
    recorded_at: datetime

    @property
    def place(self) -> str:
        """Name the row for people."""
        return f"{self.stream} version {self.version} ({self.type}, position {self.position})"


@dataclass(frozen=True)
class Record:
    """Everything that is judged, read in one transaction."""

    #: In reading order: (xid, position).
    events: list[Row]
    #: Stream to (version, hash).
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: Event positions that the bus has not confirmed, with their service.
    outbox: list[tuple[int, str]] = field(default_factory=list)
    #: (consumer, stream) to the last version handled.
    inbox: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Follower to (xid, position) up to which it has read.
    followers: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: (follower, stream) to the last version handled, where it is held back.
    held_back: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Lease to (holder, epoch).
    leases: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: (service, key, seconds overdue) of timers whose time has passed.
    overdue: list[tuple[str, str, float]] = field(default_factory=list)

    def of(self, *types: str) -> list[Row]:
        """List the events of some types, in reading order."""
        return [row for row in self.events if row.type in types]

    def streams(self) -> dict[str, list[Row]]:
        """List every stream's events in order of version."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.events:
            found[row.stream].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: row.version)
        return found


async def connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Connect; JSON comes parsed. Raises OSError and asyncpg's errors."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        dsn, ssl=False, timeout=CONNECT_S, command_timeout=CALL_S
    )
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    return connection


async def read_events(
    connection: asyncpg.Connection[asyncpg.Record], after: int, types: Sequence[str]
) -> Record:
    """Read the events of some types behind a position, and nothing else: enough for figures, not for judging."""
    events = await connection.fetch(
        f"{_EVENTS} where position > $1 and type = any($2) order by xid, position", after, list(types)
    )
    return Record(events=[Row(**dict(row)) for row in events])


async def read(connection: asyncpg.Connection[asyncpg.Record]) -> Record:
    """Read everything at one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        events = await connection.fetch(f"{_EVENTS} order by xid, position")
        heads = await connection.fetch("select stream, version, encode(hash, 'hex') as hash from streams")
        outbox = await connection.fetch("select position, service from outbox order by position")
        inbox = await connection.fetch("select consumer, stream, version from inbox")
        followers = await connection.fetch("select consumer, xid, position from follower")
        held_back = await connection.fetch("select consumer, stream, version from held_back")
        leases = await connection.fetch("select name, holder, epoch from lease")
        timers = await connection.fetch(
            "select service, key, extract(epoch from clock_timestamp() - due)::float8 as late from timer"
            " where due <= clock_timestamp()"
        )
    return Record(
        events=[Row(**dict(row)) for row in events],
        heads={row["stream"]: (row["version"], row["hash"]) for row in heads},
        outbox=[(row["position"], row["service"]) for row in outbox],
        inbox={(row["consumer"], row["stream"]): row["version"] for row in inbox},
        followers={row["consumer"]: (row["xid"], row["position"]) for row in followers},
        held_back={(row["consumer"], row["stream"]): row["version"] for row in held_back},
        leases={row["name"]: (row["holder"], row["epoch"]) for row in leases},
        overdue=[(row["service"], row["key"], row["late"]) for row in timers],
    )
