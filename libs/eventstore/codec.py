"""How appends go to Postgres and rows come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from contracts.message import CARRIER, Meta, Recorded, Registry, category_of
from libs.eventstore.row import Row, Sealed
from libs.eventstore.store import Append, Beat, Cursor, Document, Lease, StreamHead, Timer

#: Bytes of events that are written as one.
BUNDLE_BYTES = 8 * 2**20

_meta = msgspec.json.Decoder(Meta).decode


def bundles(group: Sequence[Sealed]) -> list[list[int]]:
    """Sort appends by place into bundles that can be written as one: of one writer, and about different things.

    A member is a subtransaction and several statements to the server, which costs more than the rows that it writes.
    """
    found: list[list[int]] = []
    names: list[set[object]] = []
    sizes: list[int] = []
    for place, sealed in enumerate(group):
        first = group[found[-1][0]].append if found else None
        mine, size = _names(sealed), sum(len(row.data) for row in sealed.rows)
        if (
            first is not None
            and _writer(first) == _writer(sealed.append)
            and names[-1].isdisjoint(mine)
            and sizes[-1] + size <= BUNDLE_BYTES
        ):
            found[-1].append(place)
            names[-1] |= mine
            sizes[-1] += size
        else:
            found.append([place])
            names.append(mine)
            sizes.append(size)
    return found


def _writer(append: Append) -> tuple[object, ...]:
    return append.service, append.lease, append.generation


def _names(sealed: Sealed) -> set[object]:
    append = sealed.append
    return {
        *(before.stream for before, _ in sealed.heads),
        *((mark.consumer, mark.stream, "inbox") for mark in append.inbox),
        *((mark.consumer, "cursor") for mark in (append.cursor,) if mark is not None),
        *((mark.consumer, mark.stream, "hold") for mark in append.holds),
        *((timer.service, timer.key, "timer") for timer in append.timers),
        *((timer.service, timer.key, "timer") for timer in append.clear_timers),
        *((write.view, write.key, "document") for write in append.documents),
        *(row.id for row in sealed.rows),
    }


def requests(bundles: Iterable[Sequence[Sealed]]) -> tuple[list[bytes], list[bytes | None]]:
    """Write bundles as `append_events` takes them: a request for each, and the data of all their documents."""
    documents: list[bytes | None] = []
    return [_request(bundle, documents) for bundle in bundles], documents


def _request(bundle: Sequence[Sealed], datas: list[bytes | None]) -> bytes:
    # Absent parts cost the server nothing.
    first = bundle[0].append
    body: dict[str, Any] = {"service": first.service}
    if first.lease is not None:
        body["lease"] = first.lease
    if marks := [mark for sealed in bundle for mark in sealed.append.inbox]:
        body["inbox"] = marks
    if cursors := [mark for sealed in bundle if (mark := sealed.append.cursor) is not None]:
        body["cursors"] = [
            {
                "consumer": mark.consumer,
                "before_xid": mark.before.xid,
                "before_position": mark.before.position,
                "xid": mark.after.xid,
                "position": mark.after.position,
            }
            for mark in cursors
        ]
    if holds := [mark for sealed in bundle for mark in sealed.append.holds]:
        body["holds"] = holds
    if any(sealed.rows for sealed in bundle):
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
            for sealed in bundle
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
            for sealed in bundle
            for row in sealed.rows
        ]
    if first.generation is not None:
        body["generation"] = first.generation
    if clear := [timer for sealed in bundle for timer in sealed.append.clear_timers]:
        body["clear_timers"] = clear
    if timers := [timer for sealed in bundle for timer in sealed.append.timers]:
        # The last one set under a key counts; one statement cannot write a row twice.
        body["timers"] = list({(timer.service, timer.key): timer for timer in timers}.values())
    if documents := [write for sealed in bundle for write in sealed.append.documents]:
        body["documents"] = [
            {"view": write.view, "key": write.key, "before": write.before, "sort": write.sort}
            for write in documents
        ]
        # By themselves, because they are most of all bytes: as text within JSON they would be read twice.
        body["documents_from"] = len(datas) + 1
        datas += [write.data for write in documents]
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


def recorded(record: Iterable[Any], registry: Registry) -> Recorded:
    """Read an event as `scan` selects it; a rebuild reads millions. Raises `msgspec.ValidationError`."""
    id_, stream, version, type_, schema_version, data, meta, at, prev_hash, hash_, position, xid = record
    try:
        event = registry.decode(type_, data, schema_version)
    except msgspec.ValidationError as error:
        error.add_note(f"{stream} version {version} ({type_}, {id_})")
        raise
    return Recorded(
        id=id_,
        stream=stream,
        version=version,
        type=type_,
        schema_version=schema_version,
        event=event,
        meta=_meta(meta),
        recorded_at=at,
        prev_hash=prev_hash,
        hash=hash_,
        position=position,
        xid=xid,
    )


def carried(record: Sequence[Any] | asyncpg.Record, registry: Registry) -> Recorded:
    """Read an event as `scan` selects it; what its class cannot read is carried as it is."""
    try:
        return recorded(record, registry)
    except msgspec.ValidationError:
        return recorded(record, CARRIER)


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


def beat(record: asyncpg.Record) -> Beat:
    """Read what the holder of a lease is told."""
    end = Cursor(xid=record["xid"], position=record["position"])
    return Beat(end=end, left_behind=record["left_behind"], due=record["due"])


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
