"""A record in one file: gzip, one JSON object a line, read and verified with no database.

The first line is the `Header`. Every other is an object with one member, named after a table, whose value is the row
as Postgres writes it in JSON: checkpoints by number, then events by position, then streams by name, then whatever
else the file carries. The last line, `end`, counts them.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import msgspec

from libs.eventstore.row import Row
from libs.eventstore.store import StreamHead
from libs.journal.snapshot import Snapshot
from libs.journal.source import Entry, Kept, KeptHead

#: The record itself, in the order of the file, with the order of each table's rows.
RECORD = {"checkpoint": "number", "events": "position", "streams": "stream"}
#: Lines longer than this were not written here: an event has at most six megabytes.
_LINE_LIMIT = 64 * 2**20
_LINE = re.compile(rb'\{"([a-z_]+)":(.*)\}\n', re.DOTALL)


class ArchiveError(Exception):
    """A file is no archive of a record, or was damaged; the message names the line."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says about itself."""

    format: Literal["autopilot-record"]
    version: Literal[1]
    written_at: datetime
    #: Public key of the journal's checkpoints.
    key: str
    #: Migrations of the schema that the rows fit.
    schema: tuple[str, ...]


class Writer:
    """Adds rows to an archive; see `writing`."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, row: str | bytes) -> None:
        """Add a row that is JSON already."""
        data = row.encode() if isinstance(row, str) else row
        self._file.write(b'{"%b":%b}\n' % (kind.encode(), data))
        self.counts[kind] += 1

    async def add_table(self, record: Snapshot, table: str, order: str) -> None:
        """Add all rows of a table."""
        query = f"select row_to_json(t)::text as row from (select * from {table} order by {order}) t"  # noqa: S608
        async for found in record.cursor(query):
            self.add(table, found["row"])


@contextlib.contextmanager
def writing(target: Path | BinaryIO, key: str, schema: Sequence[str]) -> Iterator[Writer]:
    """Write an archive. A file appears whole, when all went well; a stream that ends too early has no end.

    Raises OSError.
    """
    header = Header(
        format="autopilot-record", version=1, written_at=datetime.now(UTC), key=key, schema=tuple(schema)
    )
    with (
        _whole(target) if isinstance(target, Path) else contextlib.nullcontext(target) as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, filename="", mtime=0) as file,
    ):
        file.write(msgspec.json.encode(header) + b"\n")
        writer = Writer(file)
        yield writer
        file.write(b'{"end":' + msgspec.json.encode(writer.counts) + b"}\n")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class _Event(msgspec.Struct):
    position: int
    xid: int
    stream: str
    category: str
    version: int
    id: str
    type: str
    schema_version: int
    data: msgspec.Raw
    meta: msgspec.Raw
    prev_hash: str
    hash: str
    recorded_at: datetime


class _Stream(msgspec.Struct):
    stream: str
    category: str
    version: int
    hash: str
    ended: bool


class _Checkpoint(msgspec.Struct):
    number: int
    line: str


class Archive:
    """Reads an archive; a `libs.journal.source.Source`, and a context manager. Methods raise ArchiveError, OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Archive:
        self.header = self._header()
        #: Checkpoints are read beside the events, so they have a reader of their own.
        self._beside, self._main = self._rows(), self._rows()
        self._pending: tuple[str, bytes] | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    async def checkpoints(self) -> AsyncIterator[Entry]:
        """Read the checkpoints by number."""
        for table, row in self._beside:
            if table != "checkpoint":
                return
            found = self._decoded(row, _Checkpoint)
            yield found.number, found.line

    async def events(self) -> AsyncIterator[Kept]:
        """Read the events by position."""
        for row in self.of("events"):
            found = self._decoded(row, _Event)
            yield Kept(_row(found), found.category)

    async def streams(self) -> AsyncIterator[KeptHead]:
        """Read where the streams stand; after the events, and once."""
        for row in self.of("streams"):
            found = self._decoded(row, _Stream)
            hash_ = found.hash.removeprefix("\\x")
            head = StreamHead(stream=found.stream, version=found.version, hash=hash_, ended=found.ended)
            yield KeptHead(head, found.category)

    def of(self, table: str) -> Iterator[bytes]:
        """Read on to the rows of one table, and through them; tables come in the order of the file."""
        while (here := self._next()) is not None and here[0] == "checkpoint" != table:
            pass
        while here is not None and here[0] == table:
            yield here[1]
            here = self._next()
        self._pending = here

    def rest(self) -> Iterator[tuple[str, bytes]]:
        """Read all that is left: (table, row)."""
        while (here := self._next()) is not None:
            yield here

    def _next(self) -> tuple[str, bytes] | None:
        if self._pending is not None:
            here, self._pending = self._pending, None
            return here
        return next(self._main, None)

    def _rows(self) -> Iterator[tuple[str, bytes]]:
        """Read (table, row) as far as the line that ends the file, and compare what it counts."""
        file = self._open()
        counts: Counter[str] = Counter()
        number = 1
        try:
            file.readline(_LINE_LIMIT)
            while line := file.readline(_LINE_LIMIT):
                number += 1
                table, row = self._split(line, number)
                if table == "end":
                    if msgspec.json.decode(row) != counts:
                        raise ArchiveError(f"{self._path}: it does not hold as many rows as its end says")
                    return
                counts[table] += 1
                yield table, row
        except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.MsgspecError) as error:
            raise ArchiveError(f"{self._path} is damaged behind line {number}: {error}") from error
        raise ArchiveError(f"{self._path} has no end: it was cut off behind line {number}")

    def _split(self, line: bytes, number: int) -> tuple[str, bytes]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ArchiveError(f"{self._path}: line {number} is none of an archive")
        return found[1].decode(), found[2]

    def _header(self) -> Header:
        try:
            return msgspec.json.decode(self._open().readline(_LINE_LIMIT), type=Header)
        except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.MsgspecError) as error:
            raise ArchiveError(f"{self._path} is no archive of a record: {error}") from error

    def _open(self) -> gzip.GzipFile:
        return self._files.enter_context(gzip.GzipFile(self._path, "rb"))

    def _decoded(self, row: bytes, type_: type[Any]) -> Any:
        try:
            return msgspec.json.decode(row, type=type_)
        except msgspec.MsgspecError as error:
            raise ArchiveError(f"{self._path}: a row cannot be read: {error}") from error


def _row(found: _Event) -> Row:
    return Row(
        id=found.id,
        stream=found.stream,
        version=found.version,
        type=found.type,
        schema_version=found.schema_version,
        data=bytes(found.data),
        meta=bytes(found.meta),
        recorded_at=found.recorded_at,
        prev_hash=found.prev_hash.removeprefix("\\x"),
        hash=found.hash.removeprefix("\\x"),
        position=found.position,
        xid=found.xid,
    )


async def export(record: Snapshot, target: Path | BinaryIO, key: str) -> Counter[str]:
    """Write the record of a snapshot into a file or a stream and return how many rows of each table that were."""
    with writing(target, key, await record.schema()) as archive:
        for table, order in RECORD.items():
            await archive.add_table(record, table, order)
    return archive.counts
