"""Every view, rebuilt from nothing, equals the live one (invariant 2): over a real Postgres, while news arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from contracts.catalogue import registry
from contracts.message import Recorded
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Append, Cursor, NewEvent, StreamAppend, StreamHead
from libs.runtime.following import Following
from libs.runtime.rebuild import Job, Rebuilder
from libs.testing.postgres import SUPERUSER, shared
from tests.integration.dashboard.world import Pen, World


class Live(World):
    """A dashboard over Postgres whose follower is called by hand; the rebuilder works in the background."""

    store: PostgresStore  # type: ignore[assignment]

    def __init__(self, data: Path, store: PostgresStore, told: World) -> None:
        super().__init__(data, pen=Pen(store, told.clock))  # type: ignore[arg-type]
        self.heads: dict[str, StreamHead] = {}
        self.work: asyncio.Task[None] | None = None

    @property
    def rebuilder(self) -> Rebuilder:
        assert self.running.rebuilder is not None
        return self.running.rebuilder

    async def open(self) -> None:
        """Start, or start again."""
        await self.close()
        await super().open()
        self.following = Following(self.running, self.running.service.follows[0])
        await self.rebuilder.open([self.following])
        self.work = asyncio.create_task(self.rebuilder.run())

    async def close(self) -> None:
        """Stop what works in the background."""
        if self.work is not None:
            self.work.cancel()
            with suppress(asyncio.CancelledError):
                await self.work
            self.running.parts.feed.close()

    async def record(self, event: Recorded) -> Recorded:
        """Append an event as another record has it."""
        head = self.heads.get(event.stream, StreamHead(stream=event.stream))
        new = NewEvent(id=event.id, event=event.event, meta=event.meta, recorded_at=event.recorded_at)  # type: ignore[arg-type]
        append = Append(service=event.meta.service, streams=(StreamAppend(head=head, events=(new,)),))
        (recorded,) = await self.store.append(append)
        self.heads[event.stream] = StreamHead(
            stream=event.stream, version=recorded.version, hash=recorded.hash
        )
        return recorded

    async def receive(self, event: Recorded) -> None:
        """Follow the record until an event is handled, or was folded by a rebuild."""
        while await self.store.handled(self.following.durable, event.stream) < event.version:
            await self.following.step()

    async def finished(self, kind: str) -> Job:
        """Have something done and wait for its end."""
        job = self.rebuilder.ask(kind)  # type: ignore[arg-type]
        assert job is not None
        async with asyncio.timeout(60):
            while not job.over:
                await asyncio.sleep(0.005)
        return job


@pytest.fixture(scope="session")
def postgres() -> object:
    """Start the server outside of any event loop."""
    return shared()


@pytest.fixture
async def live(told: World, tmp_path: Path, postgres: object) -> AsyncIterator[tuple[Live, str]]:
    async with shared().database() as name:
        store = await PostgresStore.connect(shared().dsn(name), registry)
        made = Live(tmp_path, store, told)
        await made.open()
        yield made, shared().dsn(name, SUPERUSER)
        await made.close()
        await store.close()


async def test_a_rebuild_during_a_busy_day_gives_the_views_of_the_record(
    told: World, live: tuple[Live, str]
) -> None:
    world, _ = live
    history = await told.history()
    middle = len(history) // 2
    for event in history[:middle]:
        await world.receive(await world.record(event))

    async def the_rest() -> None:
        for event in history[middle:]:
            await world.receive(await world.record(event))

    rest = asyncio.create_task(the_rest())
    rebuilt = 0
    while not rest.done():
        rebuilt += (await world.finished("rebuild")).state == "done"
    await rest
    assert rebuilt >= 2
    assert await world.documents() == await told.documents()
    assert (await world.finished("rebuild")).state == "done"
    assert await world.documents() == await told.documents()
    check = await world.finished("check")
    assert (check.state, check.differences) == ("done", 0)
    assert check.compared == sum(len(rows) for rows in (await told.documents()).values())


async def test_a_check_finds_the_document_that_somebody_changed(told: World, live: tuple[Live, str]) -> None:
    world, superuser = live
    for event in (await told.history())[:12]:
        await world.receive(await world.record(event))
    connection = await asyncpg.connect(superuser)
    await connection.execute(
        """update view_document set data = jsonb_set(data::jsonb, '{title}', '"forged"')::json
        where ctid = (select ctid from view_document where view = 'task' limit 1)"""
    )
    await connection.close()
    check = await world.finished("check")
    assert check.state == "done"
    assert [key.partition("/")[0] for key in check.different] == ["task"]
    assert (await world.finished("rebuild")).state == "done"
    assert (await world.finished("check")).differences == 0


async def test_a_rebuild_that_is_cut_off_leaves_what_was_read_and_the_next_one_starts_over(
    told: World, live: tuple[Live, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.runtime.projection.FIRST_CHUNK", 10)
    monkeypatch.setattr("libs.runtime.projection.LARGEST_CHUNK", 10)
    world, _ = live
    history = (await told.history())[:30]
    for event in history:
        await world.receive(await world.record(event))
    before = await world.documents()
    views = world.running.service.projection.views  # type: ignore[union-attr]
    job = world.rebuilder.ask("rebuild")
    assert job is not None
    while job.events < 15:
        await asyncio.sleep(0)
    assert world.work is not None
    # Gone in the middle of whatever it does, its last wish not heard.
    monkeypatch.setattr(Rebuilder, "_discard_quietly", _nothing)
    await world.close()
    assert len(await world.store.generations(views)) == 2
    assert await world.documents() == before
    world.running.rebuilder = Rebuilder(world.running, world.running.service.projection)  # type: ignore[arg-type]
    await world.open()
    assert (await world.finished("rebuild")).state == "done"
    assert await world.documents() == before
    assert len(await world.store.generations(views)) == 1
    found = [event async for event in world.store.scan(Cursor())]
    assert len(found) == len(history)


async def _nothing(*_: object) -> None:
    return None
