"""The record as one process reaches it: the in-memory twin behind a door that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from contracts.message import Recorded
from libs.eventstore.store import Append, Cursor, EventStoreError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.simulation.process import Process

#: Seconds after which a follower looks by itself, as with Postgres.
POLL_S = 0.25
#: What a failed append changes nothing by.
_WRITES = frozenset({"published", "acquire", "renew", "beat", "release", "note_rebuild"})


class ShakyStore:
    """One process's connection to the record."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.world

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Make an append true, unless something comes in between."""
        process, world = self._process, self._world

        async def act() -> tuple[Recorded, ...]:
            try:
                recorded = await world.store.append(append)
            except EventStoreError as error:
                world.trace.tell(process.name, f"may not append: {type(error).__name__} {error}")
                raise
            world.appended(process, append, recorded)
            return recorded

        return await self._ask("an append", act, writes=True)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method, writes = getattr(self._world.store, name), name in _WRITES

        async def call(*args: Any, **options: Any) -> Any:
            return await self._ask(name, lambda: method(*args, **options), writes=writes)

        return call

    async def tail(self, after: Cursor) -> AsyncIterator[Recorded]:
        """Follow the record from a place on, as `PostgresStore` does; an outage only delays it."""
        while True:
            found: list[Recorded] = []
            with contextlib.suppress(StoreUnavailableError):
                found = await self.read_all(after)
            for event in found:
                after = Cursor(xid=event.xid, position=event.position)
                yield event
            if not found:
                await asyncio.sleep(POLL_S)

    async def _ask(self, what: str, act: Callable[[], Any], *, writes: bool) -> Any:
        world = self._world
        return await self._process.ask("the record", what, act, writes=writes, away=lambda: world.record_away)
