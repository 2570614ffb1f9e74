"""Follows the hash chains of all streams at once, in order of position, in memory that does not grow with the record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from types import TracebackType

import msgspec

from libs.eventstore.row import Row

#: Kilobytes of the table below that are held in memory; the rest is in a temporary file.
_CACHE_KB = 16_384


class End(msgspec.Struct, frozen=True):
    """The last event of a stream."""

    stream: str
    version: int
    hash: str
    position: int


class Chains:
    """Knows the last event of every stream that it was shown. Use it as a context manager."""

    def __init__(self) -> None:
        # No name: a private database in a temporary file that is made when the cache is full.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"pragma cache_size = -{_CACHE_KB}")
        self._database.execute("pragma journal_mode = off")
        self._database.execute(
            "create table chain (stream text primary key, version int, hash text, position int) without rowid"
        )

    def __enter__(self) -> Chains:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def follow(self, row: Row) -> str | None:
        """Take the next event of any stream and tell what is wrong with its link, None if nothing is."""
        version, hash_ = self._database.execute(
            "select version, hash from chain where stream = ?", (row.stream,)
        ).fetchone() or (0, "")
        self._database.execute(
            "insert or replace into chain values (?, ?, ?, ?)",
            (row.stream, row.version, row.hash, row.position),
        )
        if row.version != version + 1:
            return f"its stream was at version {version}"
        if row.prev_hash != hash_:
            return "it was chained to another event than the one before it in its stream"
        return None

    def ends(self) -> Iterator[End]:
        """List the streams with their last events, by name in the order of its bytes."""
        for found in self._database.execute(
            "select stream, version, hash, position from chain order by stream"
        ):
            yield End(*found)
