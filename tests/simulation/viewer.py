"""Somebody who follows the live stream of the dashboard, comes back after every break, and misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from libs.eventstore.store import Cursor, StoreUnavailableError

if TYPE_CHECKING:
    from tests.simulation.world import World


class Viewer:
    """One client of the feed; its last position is all that it brings along, as with `Last-Event-ID`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen: list[tuple[Cursor, str]] = []
        self._last: int = 0

    async def watch(self) -> None:
        """Follow until cancelled."""
        world = self._world
        while True:
            desks = [
                one
                for holder, one in sorted(world.processes.items())
                if one.service.name == "dashboard"
                and one.running is not None
                and one.running.lease is not None
            ]
            if desks:
                process = world.dice.choice(desks)
                following = world.loop.create_task(self._follow(process.running), context=process.context())
                await asyncio.wait([following])
                error = None if following.cancelled() else following.exception()
                if error is not None and not isinstance(error, StoreUnavailableError):
                    world.complain(f"the live stream raised {error!r}")
            await asyncio.sleep(world.dice.uniform(0.1, 1.0))

    async def _follow(self, running: object) -> None:
        feed = running.parts.feed  # type: ignore[attr-defined]
        async for frame in feed.events(self._last):
            self.seen.append((frame.cursor, frame.recorded.id))
            self._last = frame.recorded.position

    async def catch_up(self) -> None:
        """Wait until the stream has nothing new."""
        for _ in range(60):
            if len(self.seen) >= len(self._world.store._rows):
                return
            await asyncio.sleep(0.5)

    def breaches(self) -> Iterator[str]:
        """List what was missed, came twice, or came out of order."""
        store = self._world.store
        cursors = [cursor for cursor, _ in self.seen]
        if cursors != sorted(cursors):
            yield "the live stream came out of order"
        ids = [id_ for _, id_ in self.seen]
        if len(ids) != len(set(ids)):
            yield "the live stream told something twice"
        missed = [event for event in store._recorded.values() if event.id not in set(ids)]
        for event in missed[:3]:
            yield f"the live stream never told of {event.stream}@{event.version} ({event.xid}, {event.position})"
