"""Invariant 1: versions without a gap, and a hash chain recomputed from the stored columns.

The form of the hash is architecture section 4's: SHA-256 over the RFC 8785 bytes of what the writer supplies. JSONB
keeps the values but not their spelling: an integer beyond 2^53 can only be a float that lost its exponent.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import rfc8785

from loadtest.checker.record import Record, Row

_EXACT = 2**53 - 1


def versions(record: Record) -> Iterator[str]:
    """Versions are 1, 2, 3 … in the order of reading; ids are unique; the category is the stream's."""
    heads: Counter[str] = Counter()
    ids: set[str] = set()
    for row in record.events:
        heads[row.stream] += 1
        if row.version != heads[row.stream]:
            yield f"{row.place}: version {heads[row.stream]} was due"
        if row.id in ids:
            yield f"{row.place}: its id {row.id} is in the record twice"
        ids.add(row.id)
        if row.category != row.stream.partition("-")[0]:
            yield f"{row.place}: filed under {row.category}"


def chain(record: Record) -> Iterator[str]:
    """Every hash is that of the row behind the one before it."""
    before: dict[str, str] = {}
    for row in record.events:
        if row.prev_hash != before.get(row.stream, ""):
            yield f"{row.place}: does not follow the event before it"
        if digest(row) != row.hash:
            yield f"{row.place}: is not what was hashed"
        before[row.stream] = row.hash


def heads(record: Record) -> Iterator[str]:
    """The table of heads says of every stream what its last event says."""
    last = {stream: (rows[-1].version, rows[-1].hash) for stream, rows in record.streams().items()}
    for stream in sorted({*last, *record.heads}):
        if last.get(stream) != record.heads.get(stream):
            yield f"{stream}: its head is {record.heads.get(stream)}, its last event {last.get(stream)}"


def digest(row: Row) -> str:
    """Hash one row."""
    value = {
        "id": row.id,
        "stream": row.stream,
        "version": row.version,
        "type": row.type,
        "schema_version": row.schema_version,
        "data": _numbers(row.data),
        "meta": _numbers(row.meta),
        "recorded_at": row.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "prev_hash": row.prev_hash,
    }
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _numbers(value: Any) -> Any:
    match value:
        case dict():
            return {key: _numbers(item) for key, item in value.items()}
        case list():
            return [_numbers(item) for item in value]
        case int() if abs(value) > _EXACT:
            return float(value)
    return value
