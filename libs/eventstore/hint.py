"""Hears of new events sooner than the next poll. Whoever waits here must look by itself when the time is up."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg

from libs.eventstore.connections import CALL_S, CONNECT_S, SETTINGS

CHANNEL = "autopilot_events"
#: Seconds before a lost connection is tried again.
RETRY_S = 1.0


class Hints:
    """Listens on a connection of its own, from the first `listen` on until `close`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> asyncio.Event:
        """Return the event that the next hint sets; take it before looking at the record."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_listening(), name="record-hints")
        return self._heard

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep_listening(self) -> None:
        while True:
            with contextlib.suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
            ):
                await self._listen()
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_S,
            command_timeout=CALL_S,
            server_settings=SETTINGS,
        )
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._hear)
            await lost.wait()
        finally:
            connection.terminate()

    def _hear(self, *_: object) -> None:
        self._heard.set()
        self._heard = asyncio.Event()
