"""A pool of connections to Postgres: every call has a time-out, every failure one of two classes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, TypeAlias

import asyncpg

from libs.eventstore.migrate import application_name
from libs.eventstore.store import EventStoreError, StoreUnavailableError

PooledConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PooledConnection"

#: Seconds a call may take, waiting for a connection included.
CALL_S = 10.0
#: Seconds until a connection must stand.
CONNECT_S = 5.0
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
    """Runs statements; connections that broke are replaced by themselves."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str, size: int) -> Connections:
        """Connect. Raises StoreUnavailableError."""
        try:
            async with asyncio.timeout(CALL_S):
                pool = await asyncpg.create_pool(
                    dsn,
                    # With a floor the pool would reconnect in the background, and log it, for as long as the server is away.
                    min_size=0,
                    max_size=size,
                    timeout=CONNECT_S,
                    command_timeout=CALL_S,
                    server_settings=SETTINGS,
                    init=set_codecs,
                    # No call leaves session state behind, so there is nothing to reset: it would be one more round trip.
                    reset=_leave_as_it_is,
                )
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise failure(error) from error
        connections = cls(pool)
        try:
            await connections.fetch("select 1")
        except BaseException:
            pool.terminate()
            raise
        return connections

    async def fetch(self, query: str, *args: object, timeout_s: float = CALL_S) -> list[asyncpg.Record]:
        """Run one statement, prepared once per connection. Raises StoreUnavailableError, EventStoreError."""
        connection: PooledConnection | None = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._pool.acquire()
                rows: list[asyncpg.Record] = await connection.fetch(query, *args)
                return rows
        except (asyncpg.PostgresError, *_BROKEN) as error:
            failed = failure(error)
            if isinstance(failed, StoreUnavailableError):
                _end(connection)
            raise failed from error
        except BaseException:
            _end(connection)
            raise
        finally:
            if connection is not None:
                await self._pool.release(connection, timeout=1.0)

    async def close(self) -> None:
        """Close every connection, the busy ones after a second."""
        try:
            async with asyncio.timeout(1.0):
                await self._pool.close()
        except (asyncpg.PostgresError, *_BROKEN):
            self._pool.terminate()


def _end(connection: PooledConnection | None) -> None:
    """End a connection that is broken or still waits for an answer: giving it back to the pool would wait, too."""
    if connection is not None:
        # Unless the pool noticed first and has taken it back.
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()


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


async def _leave_as_it_is(connection: Any) -> None:
    """Reset nothing."""
