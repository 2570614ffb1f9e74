"""What one statement for many rows must not lose: order of locks, and rows that are named twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.eventstore import codec
from libs.eventstore.connections import set_codecs
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.row import seal
from libs.eventstore.store import Append, DocumentWrite, InboxMark, StreamHead
from libs.testing.samples import Noted, behind, first, fresh, head_of, registry

Connection = asyncpg.Connection
APPEND = "select refusal, subject, expected from append_events($1::jsonb, $2::json[])"
WRITERS, ROUNDS = 6, 25


@pytest.fixture
async def writers(dsn: str) -> AsyncIterator[list[Connection]]:
    """Connections of as many processes."""
    connections = [await asyncpg.connect(dsn) for _ in range(WRITERS)]
    for connection in connections:
        await set_codecs(connection)
    yield connections
    for connection in connections:
        await connection.close()


@pytest.mark.parametrize("part", ["streams", "inbox", "documents"])
async def test_appends_to_the_same_rows_in_any_order_never_lock_each_other_out(
    store: PostgresStore, writers: list[Connection], superuser_dsn: str, part: str
) -> None:
    names = [fresh() for _ in range(8)]
    heads = {name: StreamHead(stream=f"case-{name}") for name in names}

    def about(chosen: list[str]) -> Append:
        now = {name: heads[name].version for name in chosen}
        # What a document was is made, changed, or removed.
        data = {name: None if before % 3 == 2 else b"{}" for name, before in now.items()}
        parts: dict[str, Any] = {
            "streams": (behind(heads[name], Noted(case_id=name)) for name in chosen),
            "inbox": (
                InboxMark(consumer="c", stream=name, before=before, version=before + 1)
                for name, before in now.items()
            ),
            "documents": (
                DocumentWrite(view="v", key=name, before=before % 3, data=data[name])
                for name, before in now.items()
            ),
        }
        return Append(service="tester", **{part: tuple(parts[part])})

    async def write(connection: Connection, chance: random.Random) -> int:
        written = 0
        for _ in range(ROUNDS):
            chosen = chance.sample(names, 5)
            sealed = seal(about(chosen), registry)
            (request,), documents = codec.requests([[sealed]])
            row = await connection.fetchrow(APPEND, request, documents)
            assert row["refusal"] in (None, "duplicate" if part == "inbox" else "conflict"), dict(row)
            if row["refusal"] is None:
                written += 1
                after = {after.stream: after for _, after in sealed.heads}
                for name in chosen:
                    moved = msgspec.structs.replace(heads[name], version=heads[name].version + 1)
                    heads[name] = after.get(moved.stream, moved)
        return written

    async with asyncio.timeout(60):
        written = await asyncio.gather(
            *(write(connection, random.Random(seed)) for seed, connection in enumerate(writers))
        )
    assert sum(written) > ROUNDS
    for name, head in heads.items():
        if part == "streams":
            assert (await store.verify(head.stream)).version == head.version
        elif part == "inbox":
            assert await store.handled("c", name) == head.version
        else:
            document = await store.document("v", name)
            assert (document.version if document else 0) == head.version % 3
    for connection in writers:
        await connection.close()
    root = await asyncpg.connect(superuser_dsn)
    # Each backend has told what it met once it has ended.
    ended = "select count(*) from pg_stat_activity where pid = any ($1)"
    while await root.fetchval(ended, [connection.get_server_pid() for connection in writers]):
        await asyncio.sleep(0.01)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert await root.fetchval(deadlocks) == 0
    await root.close()


@pytest.mark.parametrize("part", ["streams", "inbox", "documents"])
async def test_one_of_many_that_begin_the_same_in_any_order_wins(
    writers: list[Connection], part: str
) -> None:
    for seed in range(ROUNDS):
        names = [fresh() for _ in range(12)]
        requests = []
        for place in range(WRITERS):
            random.Random(seed * WRITERS + place).shuffle(names)
            parts: dict[str, Any] = {
                "streams": (first(Noted(case_id=name)) for name in names),
                "inbox": (InboxMark(consumer="c", stream=name, before=0, version=1) for name in names),
                "documents": (DocumentWrite(view="v", key=name, before=0, data=b"{}") for name in names),
            }
            append = Append(service="tester", **{part: tuple(parts[part])})
            requests.append(codec.requests([[seal(append, registry)]]))
        rows = await asyncio.gather(
            *(
                connection.fetchrow(APPEND, request, documents)
                for connection, ((request,), documents) in zip(writers, requests, strict=True)
            )
        )
        refusals = sorted(row["refusal"] or "" for row in rows)
        assert refusals == ["", *["duplicate" if part == "inbox" else "conflict"] * (WRITERS - 1)]


@pytest.mark.parametrize("part", ["streams", "inbox", "documents"])
@pytest.mark.parametrize("before", [0, 1], ids=["new", "old"])
async def test_a_row_that_is_named_twice_refuses_all(
    store: PostgresStore, writers: list[Connection], part: str, before: int
) -> None:
    name, other = fresh(), fresh()
    one = Append(
        service="tester",
        streams=(first(Noted(case_id=name)),),
        inbox=(InboxMark(consumer="c", stream=name, before=0, version=1),),
        documents=(DocumentWrite(view="v", key=name, before=0, data=b"{}"),),
    )
    if before:
        await store.append(one)
        one = Append(
            service="tester",
            streams=(behind(await head_of(store, f"case-{name}"), Noted(case_id=name)),),
            inbox=(InboxMark(consumer="c", stream=name, before=1, version=2),),
            documents=(DocumentWrite(view="v", key=name, before=1, data=b"[]"),),
        )
    beside = Append(service="tester", streams=(first(Noted(case_id=other)),))
    # The client would not send it; another one might.
    (written,), documents = codec.requests([[seal(one, registry), seal(beside, registry)]])
    request = msgspec.json.decode(written)
    request[part].append(request[part][0])
    row = await writers[0].fetchrow(APPEND, msgspec.json.encode(request), [*documents, documents[0]])
    assert row["refusal"] == ("duplicate" if part == "inbox" else "conflict")
    assert await store.read_stream(f"case-{other}") == []
    assert await store.handled("c", name) == before
    document = await store.document("v", name)
    assert (document.version if document else 0) == before


async def test_what_the_tables_were_when_the_statement_was_planned_costs_nothing_later(
    writers: list[Connection], superuser_dsn: str
) -> None:
    """A plan made for an empty table must not read the table once it is large."""
    root = await asyncpg.connect(superuser_dsn)
    await root.execute("analyze streams, inbox, view_document")
    names = [fresh() for _ in range(12)]
    heads = [StreamHead(stream=f"case-{name}") for name in names]
    for turn in range(12):
        sealed = seal(
            Append(
                service="tester",
                streams=tuple(behind(head, Noted(case_id=head.stream[5:])) for head in heads),
                inbox=tuple(
                    InboxMark(consumer="c", stream=name, before=turn, version=turn + 1) for name in names
                ),
                documents=tuple(DocumentWrite(view="v", key=name, before=turn, data=b"{}") for name in names),
            ),
            registry,
        )
        heads = [after for _, after in sealed.heads]
        (request,), documents = codec.requests([[sealed]])
        assert (await writers[0].fetchrow(APPEND, request, documents))["refusal"] is None
    await writers[0].close()
    scanned = "select sum(seq_tup_read) from pg_stat_user_tables where relname = any ($1)"
    while await root.fetchval(
        "select count(*) from pg_stat_activity where pid = $1", writers[0].get_server_pid()
    ):
        await asyncio.sleep(0.01)
    assert not await root.fetchval(scanned, ["streams", "inbox", "view_document"])
    await root.close()
