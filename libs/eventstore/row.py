"""An event as it is stored: JSON bytes, hashes as hex. Sealing an append and reading it back are the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from contracts.message import Meta, Recorded, Registry, stream_of, wire_type
from libs.eventstore.hashing import (
    as_written,
    canonical,
    event_hash,
    holds,
    in_utc,
    is_canonical,
)
from libs.eventstore.store import (
    Append,
    ChainBrokenError,
    NewEvent,
    StreamHead,
    UnrecordableError,
)

#: Bytes of one event's JSON; with its headers it must fit into a message of the bus (8 MiB).
MAX_BYTES = 6 * 2**20
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One stored event."""

    id: str
    stream: str
    version: int
    type: str
    schema_version: int
    #: JSON.
    data: bytes
    #: JSON.
    meta: bytes
    recorded_at: datetime
    prev_hash: str
    hash: str
    position: int = 0
    xid: int = 0


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """An append made ready: its events in order, and where each stream stands afterwards."""

    append: Append
    rows: tuple[Row, ...]
    #: (before, after) for each stream of the append.
    heads: tuple[tuple[StreamHead, StreamHead], ...]

    def recorded(self, positions: Iterable[int], xid: int) -> tuple[Recorded, ...]:
        """Return what was recorded, once the places are known."""
        news = (new for stream in self.append.streams for new in stream.events)
        return tuple(
            Recorded(
                id=row.id,
                stream=row.stream,
                version=row.version,
                type=row.type,
                schema_version=row.schema_version,
                event=new.event,
                meta=new.meta,
                recorded_at=row.recorded_at,
                prev_hash=row.prev_hash,
                hash=row.hash,
                position=position,
                xid=xid,
            )
            for new, row, position in zip(news, self.rows, positions, strict=True)
        )


def seal(append: Append, registry: Registry) -> Sealed:
    """Encode and chain the events of an append. Raises UnrecordableError, ValueError."""
    rows: list[Row] = []
    heads: list[tuple[StreamHead, StreamHead]] = []
    for stream in append.streams:
        version, last_hash = stream.head.version, stream.head.hash
        for new in stream.events:
            row = _row(stream.head.stream, version, last_hash, new, registry)
            rows.append(row)
            version, last_hash = row.version, row.hash
        ended = stream.events[-1].event.ends if stream.events else stream.head.ended
        after = StreamHead(stream=stream.head.stream, version=version, hash=last_hash, ended=ended)
        heads.append((stream.head, after))
    names = {before.stream for before, _ in heads}
    if len(names) < len(heads) or any(before.version == after.version for before, after in heads):
        raise ValueError("an append names each of its streams once, with at least one event")
    if any(mark.version <= mark.before for mark in append.inbox):
        raise ValueError("an inbox row moves forward only")
    if len({(mark.consumer, mark.stream) for mark in append.inbox}) < len(append.inbox):
        raise ValueError("an append moves each of its inbox rows once")
    if append.cursor is not None and append.cursor.after < append.cursor.before:
        raise ValueError("a cursor moves forward only")
    if len({(mark.consumer, mark.stream) for mark in append.holds}) < len(append.holds):
        raise ValueError("an append holds each of its streams back once")
    if len({(write.view, write.key) for write in append.documents}) < len(append.documents):
        raise ValueError("an append writes each of its documents once")
    return Sealed(append=append, rows=tuple(rows), heads=tuple(heads))


def decode_row(row: Row, registry: Registry) -> Recorded:
    """Decode a stored event. Raises `msgspec.ValidationError`, naming the event, where known data does not fit."""
    try:
        event = registry.decode(row.type, row.data, row.schema_version)
    except msgspec.ValidationError as error:
        error.add_note(f"{row.stream} version {row.version} ({row.type}, {row.id})")
        raise
    return Recorded(
        id=row.id,
        stream=row.stream,
        version=row.version,
        type=row.type,
        schema_version=row.schema_version,
        event=event,
        meta=msgspec.json.decode(row.meta, type=Meta),
        recorded_at=row.recorded_at,
        prev_hash=row.prev_hash,
        hash=row.hash,
        position=row.position,
        xid=row.xid,
    )


def verify_chain(head: StreamHead, rows: Iterable[Row]) -> StreamHead:
    """Recompute the hashes of a stream's rows behind `head` and return where they end. Raises ChainBrokenError."""
    for row in rows:
        fits = row.stream == head.stream and row.version == head.version + 1 and row.prev_hash == head.hash
        if not fits or row.hash != row_hash(row):
            raise ChainBrokenError(head.stream, head.version + 1)
        head = StreamHead(stream=head.stream, version=row.version, hash=row.hash)
    return head


def verify_end(head: StreamHead, last: StreamHead) -> StreamHead:
    """Compare the end of a chain with the head that the bookkeeping knows: the chain may have been cut short.

    Raises ChainBrokenError.
    """
    if (head.version, head.hash) != (last.version, last.hash):
        raise ChainBrokenError(head.stream, head.version + 1)
    return last


def _row(stream: str, version: int, prev_hash: str, new: NewEvent, registry: Registry) -> Row:
    try:
        if stream_of(new.event) != stream:
            raise ValueError(f"{type(new.event).__name__} belongs to {stream_of(new.event)}")
        if not _UUID.fullmatch(new.id):
            raise ValueError(f"its id {new.id!r} is not a UUID in its usual form")
        data, canonical_data = _written(new.event)
        if len(data) > MAX_BYTES:
            raise ValueError(
                f"it has {len(data)} bytes, more than {MAX_BYTES}: the bus would refuse it for ever"
            )
        meta, canonical_meta = _written(new.meta)
        type_, schema_version, recorded_at = (
            wire_type(type(new.event)),
            new.event.schema_version,
            in_utc(new.recorded_at),
        )
        # What cannot be read back would stop every reader of the record for good: better to refuse it here.
        registry.decode(type_, data, schema_version)
        return Row(
            id=new.id,
            stream=stream,
            version=version + 1,
            type=type_,
            schema_version=schema_version,
            data=data,
            meta=meta,
            recorded_at=recorded_at,
            prev_hash=prev_hash,
            hash=event_hash(
                id_=new.id,
                stream=stream,
                version=version + 1,
                type_=type_,
                schema_version=schema_version,
                data=canonical_data,
                meta=canonical_meta,
                recorded_at=recorded_at,
                prev_hash=prev_hash,
            ),
        )
    except (ValueError, OverflowError) as error:
        raise UnrecordableError(stream, f"{type(new.event).__name__}: {error}") from error


def _written(value: object) -> tuple[bytes, bytes]:
    """Write JSON as it is stored, and as it is hashed; most often they are the same bytes. Raises ValueError."""
    json = msgspec.json.encode(value, order="sorted")
    nul = b"\\u0000" in json
    if not nul and is_canonical(json):
        return json, json
    parsed = msgspec.json.decode(json)
    if nul and holds(parsed, "\0"):
        raise ValueError("Postgres text cannot hold the character U+0000")
    return json, canonical(parsed)


def row_hash(row: Row, parse: Callable[[bytes], Any] = msgspec.json.decode) -> str:
    """Compute the hash that a stored event should have; `parse` reads its JSON, and raises what it raises.

    Raises ValueError, OverflowError for what cannot have been written.
    """
    return event_hash(
        id_=row.id,
        stream=row.stream,
        version=row.version,
        type_=row.type,
        schema_version=row.schema_version,
        data=canonical(as_written(parse(row.data))),
        meta=canonical(as_written(parse(row.meta))),
        recorded_at=row.recorded_at,
        prev_hash=row.prev_hash,
    )
