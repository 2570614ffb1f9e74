"""Connections to Postgres, shared: every call has a time-out, every failure one of two classes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

import asyncpg

from libs.eventstore.migrate import application_name
from libs.eventstore.store import EventStoreError, StoreUnavailableError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

#: Seconds a call may take, waiting for a connection included.
CALL_S = 10.0
#: Seconds until a connection must stand.
CONNECT_S = 5.0
#: Seconds after which a connection that was not needed is closed: each is a process of the server.
IDLE_S = 300.0
#: What the server ends by itself before our own time-out, so that an abandoned call leaves no locks behind.
SETTINGS = {
    "application_name": application_name(),
    "statement_timeout": "8s",
    "lock_timeout": "5s",
    # An open writing transaction holds every reader of the record back.
    "idle_in_transaction_session_timeout": "1s",
    "timezone": "UTC",
    "jit": "off",
}
#: SQLSTATE classes that say nothing about the request: connection, deadlock, resources, locks, operator, system, internal.
_UNAVAILABLE = ("08", "40", "53", "55", "57", "58", "XX")
#: What asyncpg raises by itself. The last one comes when a connection is used in the moment between the server's
#: farewell and the end of the connection.
_BROKEN = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Connections:
    """Runs statements on up to `size` connections, the one used last first; those that broke are replaced.

    Not asyncpg's pool: its bookkeeping takes as long as a call of the server's, and every append pays for it.
    """

    def __init__(self, dsn: str, size: int) -> None:
        self._dsn, self._size = dsn, size
        self._places = asyncio.Semaphore(size)
        #: Connections that nobody uses and since when, the one that has been idle longest first.
        self._idle: list[tuple[float, Connection]] = []
        self._busy: set[Connection] = set()
        self._closed = False

    @classmethod
    async def open(cls, dsn: str, size: int) -> Connections:
        """Connect. Raises StoreUnavailableError."""
        connections = cls(dsn, size)
        await connections.fetch("select 1")
        return connections

    async def fetch(self, query: str, *args: object, timeout_s: float = CALL_S) -> list[asyncpg.Record]:
        """Run one statement, prepared once per connection. Raises StoreUnavailableError, EventStoreError."""
        if self._closed:
            raise StoreUnavailableError("the connections are closed")
        try:
            async with asyncio.timeout(timeout_s), self._places:
                return await self._fetch(self._at_hand() or await self._connect(), query, args)
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise failure(error) from error

    async def _fetch(
        self, connection: Connection, query: str, args: tuple[object, ...]
    ) -> list[asyncpg.Record]:
        self._busy.add(connection)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *args)
            return rows
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(failure(error), StoreUnavailableError):
                # Broken, or still waiting for an answer: whoever had it next would wait, too.
                connection.terminate()
            raise
        finally:
            self._busy.discard(connection)
            self._put_back(connection)

    def _at_hand(self) -> Connection | None:
        while self._idle:
            _, connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _put_back(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if self._closed:
            connection.terminate()
        elif not connection.is_closed():
            self._idle.append((now, connection))
        if self._idle and now - self._idle[0][0] > IDLE_S:
            self._idle.pop(0)[1].terminate()

    async def _connect(self) -> Connection:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_S, server_settings=SETTINGS)
        try:
            await set_codecs(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def close(self) -> None:
        """Close every connection, the busy ones after a second."""
        self._closed = True
        with contextlib.suppress(asyncpg.PostgresError, *_BROKEN):
            async with asyncio.timeout(1.0):
                for _ in range(self._size):
                    await self._places.acquire()
                await asyncio.gather(*(one.close() for _, one in self._idle))
        for connection in (*self._busy, *(one for _, one in self._idle)):
            connection.terminate()
        self._idle.clear()


def failure(error: Exception) -> EventStoreError:
    """Tell a record that cannot be reached from one that refused."""
    state = getattr(error, "sqlstate", None)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, ValueError) or (state and not state.startswith(_UNAVAILABLE)):
        return EventStoreError(text)
    return StoreUnavailableError(text)


async def set_codecs(connection: Connection) -> None:
    """Hand JSON over as bytes: msgspec reads it once, into the type that is wanted."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=_jsonb,
        decoder=lambda data: bytes(data[1:]),
        format="binary",
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


def _jsonb(data: bytes) -> bytes:
    # The wire form is a version byte, then text.
    return b"\x01" + data
