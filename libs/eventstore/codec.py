"""How appends go to Postgres and rows come back."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from contracts.message import category_of
from libs.eventstore.row import Row, Sealed
from libs.eventstore.store import Document, Lease, StreamHead, Timer


def request(sealed: Sealed) -> bytes:
    """Write an append as `append_events` takes it; absent parts cost the server nothing."""
    append = sealed.append
    body: dict[str, Any] = {"service": append.service}
    if append.lease is not None:
        body["lease"] = append.lease
    if append.inbox:
        body["inbox"] = append.inbox
    if sealed.rows:
        body["streams"] = [
            {
                "stream": after.stream,
                "category": category_of(after.stream),
                "before": before.version,
                "before_hash": before.hash,
                "version": after.version,
                "hash": after.hash,
                "ended": after.ended,
            }
            for before, after in sealed.heads
        ]
        body["events"] = [
            {
                "stream": row.stream,
                "version": row.version,
                "id": row.id,
                "type": row.type,
                "schema_version": row.schema_version,
                "data": msgspec.Raw(row.data),
                "meta": msgspec.Raw(row.meta),
                "prev_hash": row.prev_hash,
                "hash": row.hash,
                "recorded_at": row.recorded_at,
            }
            for row in sealed.rows
        ]
    if append.clear_timers:
        body["clear_timers"] = append.clear_timers
    if append.timers:
        # The last one set under a key counts; one statement cannot write a row twice.
        body["timers"] = list({(timer.service, timer.key): timer for timer in append.timers}.values())
    if append.documents:
        body["documents"] = [
            {
                "view": write.view,
                "key": write.key,
                "before": write.before,
                "data": None if write.data is None else write.data.decode(),
                "sort": write.sort,
            }
            for write in append.documents
        ]
    return msgspec.json.encode(body)


def row(record: asyncpg.Record) -> Row:
    """Read an event."""
    return Row(
        id=str(record["id"]),
        stream=record["stream"],
        version=record["version"],
        type=record["type"],
        schema_version=record["schema_version"],
        data=record["data"],
        meta=record["meta"],
        recorded_at=record["recorded_at"],
        prev_hash=record["prev_hash"].hex(),
        hash=record["hash"].hex(),
        position=record["position"],
        xid=record["xid"],
    )


def head(record: asyncpg.Record) -> StreamHead:
    """Read where a stream stands."""
    return StreamHead(
        stream=record["stream"],
        version=record["version"],
        hash=record["hash"].hex(),
        ended=record["ended"],
    )


def timer(record: asyncpg.Record) -> Timer:
    """Read a timer."""
    return Timer(
        service=record["service"],
        key=record["key"],
        due=record["due"],
        kind=record["kind"],
        subject=record["subject"],
    )


def lease(record: asyncpg.Record) -> Lease:
    """Read a lease."""
    return Lease(
        name=record["name"],
        holder=record["holder"],
        epoch=record["epoch"],
        until=record["until"],
    )


def document(record: asyncpg.Record) -> Document:
    """Read a document."""
    return Document(
        view=record["view"],
        key=record["key"],
        data=record["data"],
        version=record["version"],
        sort=record["sort"],
    )
