"""A dashboard over in-memory twins, and a pen that writes what other services would have recorded."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI

from contracts.catalogue import OWNERS, registry
from contracts.message import Event, Meta, Recorded, stream_of
from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import (
    Append,
    Cursor,
    CursorMark,
    Document,
    LeaseClaim,
    NewEvent,
    StreamAppend,
    StreamHead,
)
from libs.messaging.bus import DeadLetter
from libs.runtime import http
from libs.runtime.clock import RandomIds
from libs.runtime.config import Config
from libs.runtime.following import Following
from libs.runtime.running import Running
from libs.runtime.work import Work
from libs.testing.clock import ManualClock
from services.dashboard import handlers
from services.dashboard.app import service

API_TOKEN = "api-token-for-tests"
SESSION_KEY = "session-key-for-tests"
DURABLE = service.follows[0].durable(service.name)


class SilentBus:
    """What the dashboard asks of a bus: dead letters."""

    letters: tuple[DeadLetter, ...] = ()

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return list(self.letters[:limit])


class Pen:
    """Writes events into a record, stream by stream, as their owners would."""

    def __init__(self, store: MemoryStore, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self._heads: dict[str, StreamHead] = {}

    async def write(self, event: Event, *, after: float = 1.0, synthetic: bool = False) -> Recorded:
        """Let time pass, then record an event."""
        self.clock.advance(after)
        stream = stream_of(event)
        meta = Meta(
            service=OWNERS[event.stream],
            correlation_id=str(getattr(event, "task_id", "")),
            synthetic=synthetic,
        )
        new = NewEvent(id=str(uuid.uuid4()), event=event, meta=meta, recorded_at=self.clock.now())
        head = self._heads.get(stream, StreamHead(stream=stream))
        append = Append(service=meta.service, streams=(StreamAppend(head=head, events=(new,)),))
        (recorded,) = await self.store.append(append)
        self._heads[stream] = StreamHead(stream=stream, version=recorded.version, hash=recorded.hash)
        return recorded

    def copy(self) -> Pen:
        """Return a pen that goes on by itself; what is written already is shared, for nobody changes it."""
        clock = ManualClock(self.clock.now())
        store = MemoryStore(registry, clock)
        for name, value in vars(self.store).items():
            if isinstance(value, list | dict | int):
                setattr(store, name, copy.copy(value))
        vars(store)["_streams"] = {name: [*known] for name, known in vars(self.store)["_streams"].items()}
        pen = Pen(store, clock)
        pen._heads = dict(self._heads)
        return pen


class World:
    """One dashboard with everything around it."""

    def __init__(self, data: Path, clock: ManualClock | None = None, pen: Pen | None = None) -> None:
        self.clock = pen.clock if pen else clock or ManualClock()
        self.pen = pen or Pen(MemoryStore(registry, self.clock), self.clock)
        self.store, self.data = self.pen.store, data
        self.bus = SilentBus()
        config = Config(
            service="dashboard",
            data_dir=str(data),
            postgres_dsn="",
            nats_url="",
            nats_user="",
            nats_password="",
            http_port=0,
            api_token=API_TOKEN,
            scrape_token="scrape-token-for-tests",
            session_key=SESSION_KEY,
        )
        self.running = Running(
            service,
            config=config,
            store=self.store,
            bus=self.bus,  # type: ignore[arg-type]
            clock=self.clock,
            ids=RandomIds(),
            publish=nothing,
        )

    async def open(self) -> None:
        """Start the dashboard; once more is a restart."""
        lease = await self.store.acquire("dashboard", "dashboard-1", 3_600, takeover=True)
        assert lease is not None
        assert service.assemble is not None
        self.running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
        self.running.parts = await service.assemble(self.running)
        self.__dict__.pop("app", None)

    @cached_property
    def app(self) -> FastAPI:
        """Build the application; most tests of the folds do without."""
        return http.build(self.running, ready)

    async def deliver(self, events: Iterable[Recorded] | None = None) -> None:
        """Let the dashboard follow its record, or hand it some events."""
        if events is None:
            following = Following(self.running, service.follows[0])
            while await following.step():
                pass
            return
        reached = before = await self.store.follower(DURABLE, ())
        for recorded in events:
            await self.handle(recorded)
            reached = max(reached, Cursor(xid=recorded.xid, position=recorded.position))
        mark = CursorMark(consumer=DURABLE, before=before, after=reached)
        await self.store.append(Append(service="dashboard", cursor=mark))

    async def history(self) -> list[Recorded]:
        """Return all that is recorded."""
        return await self.store.read_all(Cursor(), limit=100_000)

    async def handle(self, recorded: Recorded) -> None:
        """Hand over one event."""

        async def act(work: Work) -> None:
            await handlers.project(recorded, work)

        await self.running.perform(act, cause=recorded)

    async def documents(self) -> dict[str, list[tuple[str, Any, str]]]:
        """Return every view's content."""
        return {
            view: [(row.key, msgspec.json.decode(row.data), row.sort) for row in await self._rows(view)]
            for view in ("task", "card", "active", "alert", "open_alert", "incident", "mode", "limit", "disk")
        }

    async def _rows(self, view: str) -> list[Document]:
        return sorted(await self.store.documents(view, limit=10_000), key=lambda row: row.key)


async def nothing(_: tuple[Recorded, ...]) -> None:
    """Publish nothing: there is no bus."""


async def ready() -> dict[str, str]:
    """Tell that nothing is wrong."""
    return {}
