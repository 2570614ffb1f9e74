"""One tail of the record for all live clients. Whoever is slow catches up from the record, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from functools import cached_property

import structlog

from contracts.message import Recorded
from libs.eventstore.store import Cursor, Store
from services.dashboard.api.history import LAST, cursor
from services.dashboard.api.present import brief_json, event_json
from services.dashboard.projections.task import task_of

log = structlog.get_logger(__name__)

#: Events that wait for one client in memory; what comes on top it reads from the record.
WAITING = 512
#: Events read from the record at a time.
PAGE = 200
#: Positions before the last one that are looked through for where to begin: an append's transaction may be open for
#: a second, and what it commits takes its place in the order before events that are already there.
OVERLAP = 2_000
#: Seconds until a client has to come back and show again that it may listen.
LIFE_S = 3_600


class Frame:
    """One event on its way to live clients; encoded once for all of them."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.cursor = cursor(recorded)
        self.task_id = task_of(recorded.event) or recorded.meta.correlation_id

    @cached_property
    def full(self) -> str:
        """Return all of it as JSON."""
        return event_json(self.recorded).decode()

    @cached_property
    def brief(self) -> str:
        """Return what it is and whom it concerns as JSON."""
        return brief_json(self.recorded, self.task_id).decode()


class _Queue:
    """What one client has not taken yet. Too much of it is forgotten and marked as such."""

    def __init__(self) -> None:
        self.behind = True
        self.closed = False
        self._frames: deque[Frame] = deque()
        self._changed = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        if len(self._frames) >= WAITING:
            self._frames.clear()
            self.behind = True
        if not self.behind:
            self._frames.append(frame)
        self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    def catch_up(self) -> None:
        self._frames.clear()
        self.behind = False

    async def take(self) -> Frame | None:
        """Return the next frame; None when there is something else to look at."""
        while not (self._frames or self.behind or self.closed):
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft() if self._frames and not self.closed else None


class Feed:
    """Follows the record from the first client on until it is closed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: set[_Queue] = set()
        self._following: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        self._cursor = Cursor()
        self.closed = False

    @property
    def clients(self) -> int:
        """Count the live clients."""
        return len(self._queues)

    @property
    def position(self) -> int:
        """Return the position of the last event that was passed on."""
        return self._cursor.position

    async def events(self, since: int | None) -> AsyncGenerator[Frame, None]:
        """Yield what comes behind a position in reading order, or what comes from now on; ends when the feed does."""
        with self._queue() as queue:
            await self._begin()
            after = self._cursor if since is None else await self._store.cursor_of(since)
            while not queue.closed:
                if queue.behind:
                    queue.catch_up()
                    async for frame in self._read(after):
                        after = frame.cursor
                        yield frame
                frame_ = await queue.take()
                if frame_ is not None and frame_.cursor > after:
                    after = frame_.cursor
                    yield frame_

    def close(self) -> None:
        """Let every client go; they come back to whoever serves then, and miss nothing."""
        self.closed = True
        if self._following is not None:
            self._following.cancel()
        for queue in self._queues:
            queue.close()

    async def until_cancelled(self) -> None:
        """Wait, and close when the waiting is cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.close()

    @contextmanager
    def _queue(self) -> Iterator[_Queue]:
        queue = _Queue()
        queue.closed = self.closed
        self._queues.add(queue)
        life = asyncio.get_running_loop().call_later(LIFE_S, queue.close)
        try:
            yield queue
        finally:
            life.cancel()
            self._queues.discard(queue)

    async def _begin(self) -> None:
        async with self._beginning:
            if self._following is None or self._following.done():
                self._cursor = await self._end_of_record()
                self._following = asyncio.create_task(self._follow(), name="dashboard-feed")

    async def _end_of_record(self) -> Cursor:
        last = await self._store.cursor_of(LAST)
        end = await self._store.cursor_of(max(0, last.position - OVERLAP))
        async for frame in self._read(end):
            end = frame.cursor
        return end

    async def _read(self, after: Cursor) -> AsyncGenerator[Frame, None]:
        while True:
            page = await self._store.read_all(after, limit=PAGE)
            for recorded in page:
                frame = Frame(recorded)
                after = frame.cursor
                yield frame
            if len(page) < PAGE:
                return

    async def _follow(self) -> None:
        try:
            async for recorded in self._store.tail(self._cursor):
                frame = Frame(recorded)
                self._cursor = frame.cursor
                for queue in self._queues:
                    queue.offer(frame)
        finally:
            # Without this, clients of a tail that has ended would look alive and hear nothing.
            for queue in self._queues:
                queue.close()
