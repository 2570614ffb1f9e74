"""One moment of the record in Postgres, read with cursors: whatever is written meanwhile is not seen.

The transaction only reads, so it has no id and holds no reader of the record back; it keeps dead rows from being
removed for as long as it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from libs.eventstore import codec
from libs.eventstore.connections import CONNECT_S, failure, set_codecs
from libs.eventstore.sql import load
from libs.journal.checkpoint import number_of
from libs.journal.ledger import Ledger
from libs.journal.source import Entry, Kept, KeptHead
from libs.journal.verification import Verdict, verify

#: Rows fetched at once; an event may have megabytes.
BATCH = 64
#: Seconds for one batch.
BATCH_S = 60.0
#: Seconds that the file may be behind the table: a checkpoint is committed before its line is appended.
PATIENCE_S = 3.0
_LOOK_S = 0.05
#: Of the errors of the system those that say that the server is away; a full disk, for one, is not among them.
_LOST = (ConnectionError, TimeoutError, socket.gaierror)
_SETTINGS = {
    "application_name": "autopilot-journal",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{BATCH_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{BATCH_S:.0f}s",
    "timezone": "UTC",
    "jit": "off",
}

_queries = load(Path(__file__).with_name("queries.sql"))


class Snapshot:
    """The record as it was when the snapshot was taken; a `libs.journal.source.Source`."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection

    async def checkpoints(self) -> AsyncIterator[Entry]:
        """Read the checkpoints by number."""
        async for row in self.cursor(_queries["checkpoints"]):
            yield row["number"], row["line"]

    async def events(self) -> AsyncIterator[Kept]:
        """Read the events by position."""
        async for row in self.cursor(_queries["events"]):
            yield Kept(codec.row(row), row["category"])

    async def streams(self) -> AsyncIterator[KeptHead]:
        """Read where the streams stand."""
        async for row in self.cursor(_queries["streams"]):
            yield KeptHead(codec.head(row), row["category"])

    async def cursor(self, query: str) -> AsyncIterator[asyncpg.Record]:
        """Run a query of any size, a batch of rows in memory at a time."""
        async for row in self.connection.cursor(query, prefetch=BATCH, timeout=BATCH_S):
            yield row

    async def last_checkpoint(self) -> int:
        """Return the number of the last checkpoint, 0 where there is none."""
        rows = await self.connection.fetch(_queries["last"])
        return int(rows[0]["number"]) if rows else 0

    async def schema(self) -> list[str]:
        """List the migrations that the tables have had."""
        return [row["name"] for row in await self.connection.fetch(_queries["schema"])]

    async def drawn(self) -> int:
        """Return the highest position that any writer was given; later than the snapshot, so never too low for it."""
        return int((await self.connection.fetch(_queries["drawn"]))[0]["upto"])


@contextlib.asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[Snapshot]:
    """Take a snapshot as a role that may read everything. Raises StoreUnavailableError, EventStoreError."""
    connection: asyncpg.Connection[asyncpg.Record] | None = None
    try:
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_S, command_timeout=BATCH_S, server_settings=_SETTINGS
        )
        await set_codecs(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield Snapshot(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, *_LOST) as error:
        raise failure(error) from error
    finally:
        if connection is not None:
            connection.terminate()


async def verify_record(dsn: str, data_dir: Path, trusted: str) -> Verdict:
    """Verify the record in Postgres against its checkpoints there and in the file of a data directory.

    Raises StoreUnavailableError, EventStoreError, OSError.
    """
    ledger = Ledger(data_dir)
    # What the file has now was committed before, so the snapshot must have it, too.
    line = None
    with contextlib.suppress(FileNotFoundError):
        line = ledger.last()
    known = (number_of(line) if line else None) or 0
    async with snapshot(dsn) as record:
        upto = max(known, await record.last_checkpoint())
        return await verify(record, trusted, other=_lines(ledger, upto), drawn=await record.drawn())


async def _lines(ledger: Ledger, upto: int) -> AsyncIterator[str]:
    """Read the file's lines as far as a number, waiting a moment for those that are being written."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            line = ledger.last()
        except FileNotFoundError:
            return
        if ((number_of(line) if line else None) or 0) >= upto:
            break
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(_LOOK_S)
    for line in ledger.lines():
        if (number_of(line) or 0) <= upto:
            yield line
