"""The hash chain of a stream: SHA-256 over the RFC 8785 bytes of everything the writer supplies.

`data` and `meta` are hashed after parsing, so that a database may keep them in a form of its own (JSONB reorders
keys and rewrites numbers). What a database adds (position, xid) is not hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import rfc8785

#: Integers beyond it are not exact as JSON numbers (RFC 8785 section 3.2.2.3, I-JSON).
SAFE_INTEGER = 2**53 - 1


def event_hash(
    *,
    id_: str,
    stream: str,
    version: int,
    type_: str,
    schema_version: int,
    data: Any,
    meta: Any,
    recorded_at: datetime,
    prev_hash: str,
) -> str:
    """Hash one event and, through `prev_hash`, all before it. Raises ValueError where RFC 8785 has no form for it."""
    return hashlib.sha256(
        canonical(
            {
                "id": id_,
                "stream": stream,
                "version": version,
                "type": type_,
                "schema_version": schema_version,
                "data": data,
                "meta": meta,
                "recorded_at": timestamp(recorded_at),
                "prev_hash": prev_hash,
            }
        )
    ).hexdigest()


def canonical(value: Any) -> bytes:
    """Write JSON in the form of RFC 8785. Raises ValueError where it has none.

    Where nothing but the order of keys differs, msgspec writes the same bytes: 100 kB of text take 0.4 ms instead
    of 14 ms, in which a service could answer nobody.
    """
    return msgspec.json.encode(value, order="sorted") if _is_plain(value) else rfc8785.dumps(value)


def _is_plain(value: Any) -> bool:
    """Tell whether a value has no floats, whose forms differ, and no keys that the two would sort differently."""
    if isinstance(value, dict):
        return all(key.isascii() and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, int):
        return abs(value) <= SAFE_INTEGER
    return value is None or isinstance(value, str)


def timestamp(moment: datetime) -> str:
    """Write a time as it is hashed: ISO 8601, UTC, microseconds. Raises ValueError for a time without a zone."""
    return in_utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC. Raises ValueError for a time without a zone: it would be guessed."""
    if moment.tzinfo is None:
        raise ValueError("a recorded time needs its zone")
    return moment.astimezone(UTC)


def as_written(value: Any) -> Any:
    """Turn stored JSON back into the numbers that were hashed.

    No integer beyond the safe range is ever appended, so such a one was a float: JSONB gives 1e16 back as
    10000000000000000.
    """
    if isinstance(value, dict):
        return {key: as_written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if isinstance(value, int) and abs(value) > SAFE_INTEGER:
        return float(value)
    return value


def holds(value: Any, text: str) -> bool:
    """Tell whether any string of a JSON value, keys included, contains `text`."""
    if isinstance(value, str):
        return text in value
    parts: Iterable[Any] = ()
    if isinstance(value, dict):
        parts = (*value, *value.values())
    elif isinstance(value, list):
        parts = value
    return any(holds(part, text) for part in parts)
