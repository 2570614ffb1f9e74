"""What the owner of the machine does to a sealed record in Postgres or to its file is found and named."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable

import pytest

from libs.journal import checkpoint as checkpoints
from libs.journal.verification import Finding
from tests.integration.journal.scene import KEY, OTHER_KEY, Journal

#: Position 6 is version 4 of case-a.
AT = "where position = 6"
#: One changed byte in every column, as SQL.
COLUMNS = {
    "position": f"update events set position = 5000 {AT}",
    "stream": f"update events set stream = 'case-A' {AT}",
    "category": f"update events set category = 'cast' {AT}",
    "version": f"update events set version = 5 {AT}",
    "id": f"update events set id = overlay(id::text placing (case left(id::text, 1) when '0' then '1' else '0' end) from 1)::uuid {AT}",
    "type": f"update events set type = 'noteD' {AT}",
    "schema_version": f"update events set schema_version = 2 {AT}",
    "data, a text": f"""update events set data = replace(data::text, 'four', 'f0ur')::jsonb {AT}""",
    "data, a key": f"""update events set data = replace(data::text, '"a"', '"b"')::jsonb {AT}""",
    "data, a digit without meaning": f"""update events set data = replace(data::text, '0.30000000000000004', '0.30000000000000005')::jsonb {AT}""",
    "meta": f"update events set meta = replace(meta::text, 'tester', 'testes')::jsonb {AT}",
    "prev_hash": f"update events set prev_hash = set_byte(prev_hash, 31, get_byte(prev_hash, 31) # 1) {AT}",
    "hash": f"update events set hash = set_byte(hash, 31, get_byte(hash, 31) # 1) {AT}",
    "hash, shorter": f"update events set hash = '\\x00' {AT}",
    "recorded_at": f"update events set recorded_at = recorded_at + interval '1 microsecond' {AT}",
    "recorded_at, no time": f"update events set recorded_at = 'infinity' {AT}",
    "recorded_at, far away": f"update events set recorded_at = '20000-01-01' {AT}",
}


async def first(journal: Journal) -> Finding:
    verdict = await journal.verify()
    assert not verdict.ok
    assert verdict.first is not None
    return verdict.first


async def test_a_sealed_record_is_fine_and_its_unsealed_end_is_counted(sealed: Journal) -> None:
    await sealed.note("d", "not sealed")
    verdict = await sealed.verify()
    assert verdict.ok, verdict
    assert (verdict.events, verdict.unsealed, verdict.first_unsealed) == (10, 1, 10)
    assert (verdict.checkpoints, verdict.sealed_upto) == (2, 9)


async def test_one_changed_byte_in_any_column_is_named(sealed: Journal) -> None:
    await sealed.tamper("create table kept as table events")
    for column, change in COLUMNS.items():
        await sealed.tamper(change)
        found = await first(sealed)
        assert (found.position, found.kind) == (6, "removed" if column == "position" else "changed"), column
        await sealed.tamper(
            "truncate events", "insert into events overriding system value select * from kept"
        )
        assert (await sealed.verify()).ok, column


async def test_transaction_ids_are_bookkeeping(sealed: Journal) -> None:
    await sealed.tamper("update events set xid = 1000 - position")
    assert (await sealed.verify()).ok


REMOVALS = {
    "a row": (["delete from events where position = 6"], 6, "removed"),
    "a whole stream": (
        ["delete from events where stream = 'case-b'", "delete from streams where stream = 'case-b'"],
        3,
        "removed",
    ),
    "a whole stream of one event": (
        ["delete from events where stream = 'side-c'", "delete from streams where stream = 'side-c'"],
        4,
        "removed",
    ),
    "the sealed end": (["delete from events where position >= 8"], 8, "truncated"),
    "everything": (["truncate events", "truncate streams"], 1, "truncated"),
    "a pair that was swapped": (
        [
            "update events set position = -1 where position = 2",
            "update events set position = 2 where position = 6",
            "update events set position = 6 where position = -1",
        ],
        2,
        "changed",
    ),
    "contents that were swapped": (
        [
            "create temp table two as select position, data from events where position in (5, 6)",
            "update events e set data = two.data from two where e.position = 11 - two.position",
        ],
        5,
        "changed",
    ),
    "a row put in front": (
        [
            "insert into events overriding system value select 0, xid, 'side-x', category, version,"
            " gen_random_uuid(), type, schema_version, data, meta, prev_hash, hash, recorded_at"
            " from events where position = 4"
        ],
        0,
        "inserted",
    ),
}


@pytest.mark.parametrize("what", REMOVALS)
async def test_what_is_removed_swapped_or_put_in_is_named(sealed: Journal, what: str) -> None:
    statements, position, kind = REMOVALS[what]
    await sealed.tamper(*statements)
    found = await first(sealed)
    assert (found.position, found.kind) == (position, kind)


async def test_a_forged_event_in_a_gap_of_positions_is_named(journal: Journal) -> None:
    sealer = await journal.sealer()
    await journal.note("a", "one")
    await journal.fetch("select nextval('events_position_seq')")
    await journal.note("a", "two")
    await sealer.step()
    assert (await journal.verify()).ok
    # Valid by itself, and under the id of a transaction of now.
    await journal.note("b", "forged")
    await journal.tamper("update events set position = 2 where stream = 'case-b'")
    found = await first(journal)
    assert (found.position, found.kind) == (2, "inserted")


CHECKPOINTS: dict[str, Callable[[Journal], Awaitable[None]]] = {}


def checkpoint_case(act: Callable[[Journal], Awaitable[None]]) -> Callable[[Journal], Awaitable[None]]:
    """Collect a way to tamper with the second checkpoint, which seals from position 5 on."""
    CHECKPOINTS[act.__name__] = act
    return act


def rewrite(journal: Journal, change: Callable[[list[str]], list[str]]) -> None:
    """Write the file anew."""
    lines = change(list(journal.ledger.lines()))
    journal.ledger.path.write_text("".join(line + "\n" for line in lines))


@checkpoint_case
async def changed_in_the_table(journal: Journal) -> None:
    await journal.tamper(
        "update checkpoint set line = replace(line, 'upto\":9', 'upto\":8') where number = 2"
    )


@checkpoint_case
async def removed_from_the_table(journal: Journal) -> None:
    await journal.tamper("delete from checkpoint where number = 2")


@checkpoint_case
async def renumbered_in_the_table(journal: Journal) -> None:
    await journal.tamper("update checkpoint set number = 7 where number = 2")


@checkpoint_case
async def changed_in_the_file(journal: Journal) -> None:
    rewrite(journal, lambda lines: [lines[0], lines[1].replace('upto":9', 'upto":8')])


@checkpoint_case
async def removed_from_the_file(journal: Journal) -> None:
    rewrite(journal, lambda lines: lines[:1])


@checkpoint_case
async def cut_in_the_middle_of_the_file(journal: Journal) -> None:
    journal.ledger.path.write_bytes(journal.ledger.path.read_bytes()[:-20])


@checkpoint_case
async def forged_in_both(journal: Journal) -> None:
    one, two = (checkpoints.read(line) for line in journal.ledger.lines())
    places = [
        (row["position"], row["hash"].hex())
        for row in await journal.fetch(
            "select position, hash from events where position > 4 order by position"
        )
    ]
    line = checkpoints.seal(
        places, before=one, upto=9, sealed_at=two.checkpoint.sealed_at, key=OTHER_KEY
    ).line
    await journal.tamper(f"update checkpoint set line = '{line}' where number = 2")
    rewrite(journal, lambda lines: [lines[0], line])


@pytest.mark.parametrize("how", CHECKPOINTS)
async def test_a_tampered_checkpoint_is_named_by_the_first_position_that_it_seals(
    sealed: Journal, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.journal.snapshot.PATIENCE_S", 0.0)
    await CHECKPOINTS[how](sealed)
    found = await first(sealed)
    assert (found.position, found.kind) == (5, "checkpoint")


async def test_a_file_that_is_gone_and_a_table_that_is_empty_are_named(
    sealed: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.journal.snapshot.PATIENCE_S", 0.0)
    kept = sealed.data_dir / "kept"
    shutil.move(sealed.ledger.path, kept)
    found = await first(sealed)
    assert (found.position, found.kind) == (1, "checkpoint")
    shutil.move(kept, sealed.ledger.path)
    await sealed.tamper("truncate checkpoint")
    found = await first(sealed)
    assert (found.position, found.kind) == (1, "checkpoint")


async def test_the_wrong_key_is_named(sealed: Journal) -> None:
    verdict = await sealed.verify(OTHER_KEY.public)
    assert verdict.first is not None
    assert (verdict.first.position, verdict.first.kind) == (1, "checkpoint")
    assert KEY.public in verdict.first.detail


async def test_a_record_that_is_written_and_sealed_meanwhile_is_fine(journal: Journal) -> None:
    sealer = await journal.sealer()
    done = asyncio.Event()

    async def write(case: str) -> None:
        await journal.note(case, *map(str, range(25)))

    async def keep_sealing() -> None:
        while not done.is_set():
            await sealer.step()

    async def look() -> int:
        looks = 0
        while not done.is_set():
            verdict = await journal.verify()
            assert verdict.ok, verdict
            looks += 1
        return looks

    sealing, looking = asyncio.create_task(keep_sealing()), asyncio.create_task(look())
    await asyncio.gather(*map(write, "abcd"))
    done.set()
    await sealing
    assert await looking > 0
    await sealer.step()
    verdict = await journal.verify()
    assert (verdict.ok, verdict.events, verdict.unsealed) == (True, 100, 0)
