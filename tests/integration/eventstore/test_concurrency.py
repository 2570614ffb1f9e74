"""Races that only a real database has: locks, open transactions, commits out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.eventstore import codec
from libs.eventstore.connections import set_codecs
from libs.eventstore.hint import Hints
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.row import seal
from libs.eventstore.store import (
    Append,
    Cursor,
    DocumentWrite,
    EventStoreError,
    LeaseClaim,
    StaleLeaseError,
    StoreUnavailableError,
    StreamHead,
)
from libs.testing.samples import Noted, behind, first, fresh, head_of, plain, registry
from libs.testing.storecase import place, take


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[PostgresStore]:
    """The record as another process sees it."""
    store = await PostgresStore.connect(dsn, registry)
    yield store
    await store.close()


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection whose transactions end when the test says so."""
    connection = await asyncpg.connect(dsn, server_settings={"idle_in_transaction_session_timeout": "120s"})
    await set_codecs(connection)
    yield connection
    await connection.close()


async def append_without_commit(
    writer: asyncpg.Connection[asyncpg.Record], append: Append
) -> asyncpg.transaction.Transaction:
    transaction = writer.transaction()
    await transaction.start()
    assert await refusal(writer, append) is None
    return transaction


async def refusal(writer: asyncpg.Connection[asyncpg.Record], append: Append) -> str | None:
    """Make an append by itself, with nothing around it."""
    (request,), documents = codec.requests([[seal(append, registry)]])
    refused: str | None = await writer.fetchval(
        "select refusal from append_events($1::jsonb, $2::json[])", request, documents
    )
    return refused


async def waits_for_lock(superuser_dsn: str) -> None:
    """Return when some session of this database waits for a lock."""
    connection = await asyncpg.connect(superuser_dsn)
    try:
        async with asyncio.timeout(60):
            while not await connection.fetchval(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0)
    finally:
        await connection.close()


async def test_cursor_never_skips_what_commits_late(
    store: PostgresStore, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    early, late = fresh(), fresh()
    transaction = await append_without_commit(writer, plain(first(Noted(case_id=early))))
    (committed,) = await store.append(plain(first(Noted(case_id=late))))
    # It has the greater position and is committed, but a reader that took it would never see the other one.
    assert await store.read_all(Cursor()) == []
    following = asyncio.create_task(take(store, Cursor(), 2))
    await transaction.commit()
    seen = await following
    assert [event.stream for event in seen] == [f"case-{early}", f"case-{late}"]
    assert seen[0].position < committed.position
    assert await store.read_all(place(seen[0])) == [seen[1]]


async def test_reading_order_holds_where_positions_and_commits_cross(
    store: PostgresStore, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    transaction = writer.transaction()
    await transaction.start()
    # The older transaction by id gets the greater position.
    await writer.fetchval("select pg_current_xact_id()::text")
    (young,) = await store.append(plain(first(Noted(case_id=fresh()))))
    assert await refusal(writer, plain(first(Noted(case_id=fresh())))) is None
    assert await store.read_all(Cursor()) == []
    await transaction.commit()
    old, same = await store.read_all(Cursor())
    assert same == young
    assert old.position > young.position
    assert old.xid < young.xid
    assert await store.read_all(place(old)) == [young]
    assert await store.cursor_of(young.position) == place(young)


async def test_takeover_waits_for_an_append_in_flight(
    store: PostgresStore, writer: asyncpg.Connection[asyncpg.Record], superuser_dsn: str
) -> None:
    key = fresh()
    lease = await store.acquire("leader", "a", 30)
    assert lease is not None
    claim = LeaseClaim(name="leader", epoch=lease.epoch)
    paused = Append(service="tester", streams=(first(Noted(case_id=key)),), lease=claim)
    # Past the check of its lease, before its commit.
    transaction = await append_without_commit(writer, paused)
    takeover = asyncio.create_task(store.acquire("leader", "b", 30, takeover=True))
    await waits_for_lock(superuser_dsn)
    assert not takeover.done()
    await transaction.commit()
    taken = await takeover
    assert taken is not None
    assert taken.epoch == lease.epoch + 1
    # The new holder sees all that was written under the old epoch, and nothing more is.
    assert len(await store.read_stream(f"case-{key}")) == 1
    late = behind(await head_of(store, f"case-{key}"), Noted(case_id=key))
    with pytest.raises(StaleLeaseError):
        await store.append(Append(service="tester", streams=(late,), lease=claim))


async def test_append_that_waits_for_a_takeover_is_refused(
    store: PostgresStore, writer: asyncpg.Connection[asyncpg.Record], superuser_dsn: str
) -> None:
    lease = await store.acquire("leader", "a", 30)
    assert lease is not None
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("update lease set epoch = epoch + 1, holder = 'b' where name = 'leader'")
    stream = first(Noted(case_id=fresh()))
    append = Append(service="tester", streams=(stream,), lease=LeaseClaim(name="leader", epoch=lease.epoch))
    appending = asyncio.create_task(store.append(append))
    await waits_for_lock(superuser_dsn)
    await transaction.commit()
    with pytest.raises(StaleLeaseError):
        await appending
    assert await store.read_stream(stream.head.stream) == []


async def test_renewals_and_appends_do_not_wait_for_each_other(
    store: PostgresStore, writer: asyncpg.Connection[asyncpg.Record]
) -> None:
    lease = await store.acquire("leader", "a", 30)
    assert lease is not None
    claim = LeaseClaim(name="leader", epoch=lease.epoch)
    paused = Append(service="tester", streams=(first(Noted(case_id=fresh())),), lease=claim)
    transaction = await append_without_commit(writer, paused)
    async with asyncio.timeout(60):
        assert await store.renew("leader", lease.epoch, 30)
    await transaction.commit()
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("update lease set until = clock_timestamp() where name = 'leader'")
    async with asyncio.timeout(60):
        await store.append(Append(service="tester", streams=(first(Noted(case_id=fresh())),), lease=claim))
    await transaction.rollback()


async def test_processes_that_lock_the_same_streams_end_each_append(
    store: PostgresStore, other: PostgresStore
) -> None:
    keys = [fresh() for _ in range(4)]
    for key in keys:
        await store.append(plain(first(Noted(case_id=key))))
    heads = [await head_of(store, f"case-{key}") for key in keys]

    async def write(through: PostgresStore, order: list[StreamHead]) -> bool:
        streams = (behind(head, Noted(case_id=head.stream.partition("-")[2])) for head in order)
        try:
            await through.append(plain(*streams))
        except EventStoreError:
            return False
        return True

    pairs = [(heads[a], heads[b]) for a in range(4) for b in range(4) if a != b]
    async with asyncio.timeout(60):
        won = await asyncio.gather(
            *(write(through, list(pair)) for pair in pairs for through in (store, other))
        )
    assert any(won)
    for key in keys:
        await store.verify(f"case-{key}")


async def test_impossible_append_spoils_no_neighbour(store: PostgresStore) -> None:
    view = fresh()
    broken = Append(
        service="tester", documents=(DocumentWrite(view=view, key="x", before=0, data=b"{no json"),)
    )
    keys = [fresh() for _ in range(6)]
    results = await asyncio.gather(
        *(store.append(plain(first(Noted(case_id=key)))) for key in keys[:3]),
        store.append(broken),
        *(store.append(plain(first(Noted(case_id=key)))) for key in keys[3:]),
        return_exceptions=True,
    )
    assert isinstance(results[3], EventStoreError)
    assert not isinstance(results[3], StoreUnavailableError)
    for key in keys:
        assert len(await store.read_stream(f"case-{key}")) == 1


async def test_appends_that_wait_share_a_transaction(store: PostgresStore) -> None:
    appends = [store.append(plain(first(Noted(case_id=fresh())))) for _ in range(30)]
    results = await asyncio.gather(*appends)
    transactions = {recorded.xid for (recorded,) in results}
    # At most what was there at once and what came meanwhile.
    assert len(transactions) <= 2


async def test_cancelled_append_harms_nobody(store: PostgresStore) -> None:
    keys = [fresh() for _ in range(5)]
    tasks = [asyncio.create_task(store.append(plain(first(Noted(case_id=key))))) for key in keys]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        True,
        False,
        True,
        False,
        False,
    ]
    for key in (keys[1], keys[3], keys[4]):
        assert len(await store.read_stream(f"case-{key}")) == 1


async def test_followers_get_a_hint(store: PostgresStore, dsn: str) -> None:
    hints = Hints(dsn)
    heard = hints.listen()
    async with asyncio.timeout(60):
        while not heard.is_set():
            # Again and again: the first ones may come before anybody listens.
            await store.append(plain(first(Noted(case_id=fresh()))))
            await asyncio.sleep(0.01)
    await hints.close()
