"""What the record does when its server is killed, restarted, or silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Cursor, EventStoreError, StoreUnavailableError, StreamHead
from libs.testing.postgres import TestPostgres
from libs.testing.samples import Noted, behind, first, fresh, head_of, plain, registry
from libs.testing.storecase import take


@contextlib.asynccontextmanager
async def outage(postgres: TestPostgres) -> AsyncIterator[None]:
    """Kill the server; start it again in any case, because other tests use it too."""
    postgres.server.kill()
    try:
        yield
    finally:
        await postgres.start()


async def until_unavailable(store: PostgresStore) -> None:
    """Return when the store says so: sessions live on for a moment after their server was killed."""
    async with asyncio.timeout(60):
        while True:
            try:
                await store.ping()
            except StoreUnavailableError:
                return


async def write_until_it_fails(
    store: PostgresStore, key: str, begun: asyncio.Event
) -> tuple[StreamHead, StreamHead]:
    """Append two events at a time; return the last confirmed head and the one that the failed append aimed at."""
    head = StreamHead(stream=f"case-{key}")
    while True:
        aim = StreamHead(stream=head.stream, version=head.version + 2)
        try:
            events = (Noted(case_id=key, count=head.version), Noted(case_id=key, text="x" * 1000))
            recorded = await store.append(plain(behind(head, *events)))
        except StoreUnavailableError:
            return head, aim
        head = StreamHead(stream=head.stream, version=recorded[-1].version, hash=recorded[-1].hash)
        if head.version >= 6:
            begun.set()


async def test_kill_in_mid_append_leaves_all_or_nothing(postgres: TestPostgres, store: PostgresStore) -> None:
    keys = [fresh() for _ in range(8)]
    begun = [asyncio.Event() for _ in keys]
    writers = [
        asyncio.create_task(write_until_it_fails(store, key, event))
        for key, event in zip(keys, begun, strict=True)
    ]
    async with asyncio.timeout(120):
        for event in begun:
            await event.wait()
        async with outage(postgres):
            ends = await asyncio.gather(*writers)
            await until_unavailable(store)
            with pytest.raises(StoreUnavailableError):
                await store.append(plain(first(Noted(case_id=fresh()))))
        # The same pool works again, without anybody's help.
        for confirmed, aim in ends:
            after = await store.verify(confirmed.stream)
            assert after.version in (confirmed.version, aim.version)
            if after.version == confirmed.version:
                assert after.hash == confirmed.hash
            key = confirmed.stream.partition("-")[2]
            await store.append(plain(behind(await head_of(store, confirmed.stream), Noted(case_id=key))))


async def test_follower_survives_a_restart(postgres: TestPostgres, store: PostgresStore) -> None:
    following = asyncio.create_task(take(store, Cursor(), 2))
    (before,) = await store.append(plain(first(Noted(case_id=fresh()))))
    async with outage(postgres):
        await until_unavailable(store)
    (after,) = await store.append(plain(first(Noted(case_id=fresh()))))
    assert await following == [before, after]


async def test_connecting_to_nothing_says_so(postgres: TestPostgres, dsn: str) -> None:
    async with outage(postgres):
        with pytest.raises(StoreUnavailableError):
            await PostgresStore.connect(dsn, registry)


async def test_silent_server_is_unavailable(dsn: str, postgres: TestPostgres) -> None:
    """A server that takes connections and says nothing, as behind a dead link."""
    silent: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)
        if not speaking.is_set():
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", postgres.server.port)
        silent.append(upstream_writer)
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if speaking.is_set():
                    sink.write(data)
        sink.close()

    speaking = asyncio.Event()
    speaking.set()
    proxy = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    store = await PostgresStore.connect(dsn.replace(f":{postgres.server.port}/", f":{port}/"), registry)
    try:
        await store.ping()
        speaking.clear()
        with pytest.raises(StoreUnavailableError):
            await store.ping()
        speaking.set()
        await store.ping()
    finally:
        await store.close()
        for writer in silent:
            writer.close()
        proxy.close()


async def test_closed_store_is_unavailable_and_not_stuck(store: PostgresStore) -> None:
    await store.close()
    with pytest.raises(EventStoreError):
        await store.ping()
