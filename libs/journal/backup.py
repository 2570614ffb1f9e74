"""A backup: the record in an archive, with the rest of what a stack keeps; and how a fresh database takes it in."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeAlias

import asyncpg
import msgspec

from libs.eventstore.connections import CONNECT_S, failure
from libs.eventstore.sql import load
from libs.journal.archive import RECORD, Archive, ArchiveError, writing
from libs.journal.ledger import Ledger
from libs.journal.snapshot import Snapshot

#: Tables beside the record that a stack goes on from, with the order of their rows.
STATE = {
    "inbox": "consumer, stream",
    "follower": "consumer",
    "held_back": "consumer, stream",
    "timer": "service, key",
    "lease": "name",
    "projection": "name",
    "view_document": "view, generation, key",
}
#: Tables that are made anew: the outbox from what consumers have not handled, snapshots from events, what the bus holds
#: by its auditor, the others by the migration.
MADE_ANEW = frozenset(
    {"outbox", "snapshot", "bus_epoch", "bus_audit", "rebuild_failure", "rights", "schema_file"}
)
#: Folders of the data directory that hold what cannot be made again from the record.
FOLDERS = ("evidence", "incidents", "forge", "mirrors")
#: Of a git repository: notes about checkouts of runs that a restored stack begins again.
_LEFT_BEHIND = "worktrees"

#: A durable consumer and the wire types that it takes; none for all.
ConsumerTypes: TypeAlias = "tuple[str, Sequence[str]]"

_CHUNK = 256 * 1024
#: Rows and bytes of JSON that go to the database at once.
_ROWS, _BYTES = 1_000, 4 * 2**20
#: Seconds for one statement; ordering a large record takes minutes.
_STATEMENT_S = 3_600.0

_queries = load(Path(__file__).with_name("restoring.sql"))


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a file, or a directory."""

    #: Below the data directory.
    path: str
    mode: int
    offset: int = 0
    #: None for a directory.
    data: bytes | None = None


async def back_up(record: Snapshot, data_dir: Path, target: Path | BinaryIO, key: str) -> Counter[str]:
    """Write everything into a file or a stream and return how many rows of each kind that were.

    The record first, then the files: they may know more than the record, never less.
    """
    with writing(target, key, await record.schema()) as archive:
        for table, order in {**RECORD, **STATE}.items():
            await archive.add_table(record, table, order)
        for piece in _pieces(data_dir):
            archive.add("file", msgspec.json.encode(piece))
    return archive.counts


def _pieces(data_dir: Path) -> Iterator[Piece]:
    seen: set[Path] = set()
    # Twice, because git may put loose objects into a pack meanwhile: what went from one place is in another then.
    for _ in range(2):
        for folder in FOLDERS:
            for place in _below(data_dir / folder):
                if place not in seen:
                    seen.add(place)
                    with contextlib.suppress(FileNotFoundError):
                        yield from _pieces_of(place, place.relative_to(data_dir))


def _below(folder: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name != _LEFT_BEHIND)
        yield Path(directory)
        yield from (Path(directory) / name for name in sorted(files) if not name.endswith(".lock"))


def _pieces_of(place: Path, name: Path) -> Iterator[Piece]:
    found = place.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        yield Piece(path=name.as_posix(), mode=mode)
    elif stat.S_ISREG(found.st_mode):
        with place.open("rb") as file:
            offset = 0
            while (data := file.read(_CHUNK)) or not offset:
                yield Piece(path=name.as_posix(), mode=mode, offset=offset, data=data)
                if not data:
                    return
                offset += len(data)


async def restore(
    archive: Archive,
    dsn: str,
    data_dir: Path,
    consumers: Iterable[ConsumerTypes],
    *,
    journal_dir: Path | None = None,
) -> Counter[str]:
    """Fill a database that has nothing but its schema, and a data directory; return how many rows of each kind.

    `dsn` is that of the tables' owner. The file of checkpoints is in `journal_dir` where that is another directory. Positions, versions and hashes stay what they were. Transaction ids are given anew
    so that the reading order stays the same and all of it is in the past. What a consumer had not handled goes to the
    outbox, so that it comes to it again by the new bus. Raises ArchiveError, StoreUnavailableError, EventStoreError, OSError.
    """
    connection: asyncpg.Connection[asyncpg.Record] | None = None
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_S,
            command_timeout=_STATEMENT_S,
            server_settings={"application_name": "autopilot-restore", "timezone": "UTC", "jit": "off"},
        )
        return await _fill(connection, archive, data_dir, consumers, Ledger(journal_dir or data_dir))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise failure(error) from error
    finally:
        if connection is not None:
            connection.terminate()


async def _fill(
    connection: asyncpg.Connection[asyncpg.Record],
    archive: Archive,
    data_dir: Path,
    consumers: Iterable[ConsumerTypes],
    ledger: Ledger,
) -> Counter[str]:
    await connection.execute(_queries["stage"])
    counts: Counter[str] = Counter()
    ledger.create()
    for table, rows in _batches(archive.rest()):
        counts[table] += len(rows)
        if table == "file":
            for row in rows:
                _put(data_dir, msgspec.json.decode(row, type=Piece))
        elif table in {**RECORD, **STATE}:
            staged = f"insert into staged_{table} select * from json_populate_recordset(null::staged_{table}, $1::json)"  # noqa: S608
            await connection.execute(staged, f"[{','.join(row.decode() for row in rows)}]")
        else:
            raise ArchiveError(f"the backup has rows of {table}, which this release does not know")
    for step in ("arrange", "burn"):
        await connection.execute(_queries[step])
    async with connection.transaction():
        await connection.execute(_queries["fill"])
        for durable, types in consumers:
            await connection.execute(_queries["deliver"], durable, list(types))
        lines = connection.cursor("select line from checkpoint order by number")
        ledger.extend([row["line"] async for row in lines])
    os.sync()
    return counts


def _batches(rows: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """Put rows of one table together."""
    table, size = "", 0
    batch: list[bytes] = []
    for name, row in rows:
        if batch and (name != table or len(batch) == _ROWS or size > _BYTES):
            yield table, batch
            batch, size = [], 0
        table = name
        batch.append(row)
        size += len(row)
    if batch:
        yield table, batch


def _put(data_dir: Path, piece: Piece) -> None:
    name = PurePosixPath(piece.path)
    if name.is_absolute() or ".." in name.parts or name.parts[:1] not in {(folder,) for folder in FOLDERS}:
        raise ArchiveError(f"the backup has a file that belongs nowhere: {piece.path!r}")
    place = data_dir / name
    if piece.data is None:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(piece.mode | stat.S_IRWXU)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if piece.offset == 0:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        place.chmod(piece.mode | stat.S_IRUSR | stat.S_IWUSR)
    with place.open("r+b") as file:
        file.seek(piece.offset)
        file.write(piece.data)
