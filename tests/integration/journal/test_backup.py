"""A backup in a database of its own: readers go on in the same order, consumers get what they had not handled."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import (
    Append,
    Cursor,
    CursorMark,
    DocumentWrite,
    HoldMark,
    InboxMark,
    LeaseClaim,
    Timer,
)
from libs.journal.archive import RECORD, Archive, ArchiveError
from libs.journal.backup import FOLDERS, MADE_ANEW, STATE, back_up, restore
from libs.journal.sealer import LEASE, Sealer
from libs.journal.snapshot import snapshot
from libs.testing.postgres import TestPostgres
from libs.testing.samples import registry
from tests.integration.journal.scene import KEY, OTHER_KEY, Journal
from tests.integration.journal.test_sealing import append_by

DUE = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING, NOTED = ("tester-everything", ()), ("tester-noted", ("noted",))


@pytest.fixture
async def other(postgres: TestPostgres, tmp_path: Path) -> AsyncIterator[Journal]:
    """A database with nothing but the schema, and an empty data directory."""
    async with postgres.database() as database:
        store = await PostgresStore.connect(postgres.dsn(database), registry)
        made = Journal(postgres, database, tmp_path / "other", store)
        yield made
        await store.close()
        if made.connections is not None:
            await made.connections.close()


@pytest.fixture
async def lived(sealed: Journal) -> Journal:
    """A record with two events whose reading order is not that of their positions, and all kinds of state beside it."""
    one, two = await asyncpg.connect(sealed.dsn), await asyncpg.connect(sealed.dsn)
    earlier = one.transaction()
    await earlier.start()
    await one.execute("select pg_current_xact_id()")
    await append_by(two, "x")
    await append_by(one, "y")
    await earlier.commit()
    await one.close()
    await two.close()
    lease = await sealed.store.acquire("tester", "tester-1", 60)
    assert lease is not None
    await sealed.store.append(
        Append(
            service="tester",
            # Its events of type `noted` are handled but for the last; what closes it is behind that.
            inbox=(InboxMark(consumer=NOTED[0], stream="case-b", before=0, version=2),),
            cursor=CursorMark(consumer="tester-follow", before=Cursor(), after=await last(sealed)),
            holds=(HoldMark(consumer="tester-follow", stream="case-b", before=None, version=1),),
            timers=(Timer(service="tester", key="k", due=DUE, kind="wake", subject="s"),),
            lease=LeaseClaim(name="tester", epoch=lease.epoch),
            documents=(
                DocumentWrite(view="v", key="k", before=0, data=b'{"a":  1.0,"a2":"\\u2028"}', sort="s"),
            ),
        )
    )
    return sealed


async def last(journal: Journal) -> Cursor:
    """Return the place of the last event."""
    event = (await journal.store.read_all(Cursor()))[-1]
    return Cursor(xid=event.xid, position=event.position)


def furnish(data_dir: Path) -> dict[str, tuple[int, bytes]]:
    """Make files as a stack has them; return those that belong into a backup, with their modes."""
    wanted = {
        "evidence/ab/abcd": (0o444, b"x" * 600_000),
        "evidence/ab/empty": (0o644, b""),
        "forge/r.git/objects/pack/p.pack": (0o444, bytes(range(256)) * 5),
        "mirrors/r.git/HEAD": (0o644, b"ref: refs/heads/main\n"),
        "incidents/i/README.md": (0o600, b"# read me\n"),
    }
    for name, (mode, data) in wanted.items():
        place = data_dir / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(mode)
    (data_dir / "mirrors/r.git/refs/heads").mkdir(parents=True)
    for name in ("secrets/api-token", "mirrors/r.git/worktrees/w/gitdir", "forge/r.lock", "work/t/file"):
        (data_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (data_dir / name).write_bytes(b"stays where it is")
    (data_dir / "evidence/ab/link").symlink_to("/etc/passwd")
    return wanted


async def backed_up(journal: Journal, path: Path) -> Path:
    async with snapshot(journal.superuser_dsn) as record:
        await back_up(record, journal.data_dir, path, KEY.public)
    return path


async def restored(file: Path, journal: Journal, *consumers: tuple[str, tuple[str, ...]]) -> None:
    with Archive(file) as archive:
        await restore(archive, journal.dsn, journal.data_dir, consumers)


async def test_a_restored_record_is_read_in_the_same_order_and_written_on(
    lived: Journal, other: Journal, tmp_path: Path
) -> None:
    before = await lived.store.read_all(Cursor())
    assert [event.position for event in before] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 10]
    await restored(await backed_up(lived, tmp_path / "backup"), other)
    after = await other.store.read_all(Cursor())
    assert [(event.position, event.hash, event.event, event.meta, event.recorded_at) for event in after] == [
        (event.position, event.hash, event.event, event.meta, event.recorded_at) for event in before
    ]
    # A reader that had come as far as some event goes on behind it.
    for place, event in enumerate(before):
        cursor = await other.store.cursor_of(event.position)
        assert [one.position for one in await other.store.read_all(cursor)] == [
            one.position for one in before[place + 1 :]
        ]
    await other.note("a", "five")
    assert [event.position for event in await other.store.read_all(Cursor())] == [
        *(event.position for event in before),
        12,
    ]


async def test_transaction_ids_are_in_the_past_and_few(
    lived: Journal, other: Journal, tmp_path: Path
) -> None:
    await lived.tamper("update events set xid = xid + 1000000000000")
    await restored(await backed_up(lived, tmp_path / "backup"), other)
    assert [event.position for event in await other.store.read_all(Cursor())][-2:] == [11, 10]
    assert {row["xid"] for row in await other.fetch("select xid from events")} == {1, 2}


async def test_what_is_beside_the_record_is_as_it_was_and_nobody_holds_a_lease(
    lived: Journal, other: Journal, tmp_path: Path
) -> None:
    await restored(await backed_up(lived, tmp_path / "backup"), other)
    for table in ("inbox", "held_back", "timer", "view_document"):
        query = f"select t::text from {table} t order by 1"
        assert await other.fetch(query) == await lived.fetch(query) != []
    # At the same event, whose transaction has another number here.
    cursor = await other.store.follower("tester-follow", ())
    assert cursor == await last(other)
    assert cursor.position == (await last(lived)).position
    heads = "select stream, category, version, hash, ended, created from streams order by created"
    assert await other.fetch(heads) == await lived.fetch(heads)
    lease = await other.store.acquire("tester", "somebody else", 60)
    assert lease is not None
    assert lease.epoch == 2


async def test_each_consumer_gets_what_it_had_not_handled_and_nothing_else(
    lived: Journal, other: Journal, tmp_path: Path
) -> None:
    file = await backed_up(lived, tmp_path / "backup")
    await restored(file, other, NOTED)
    waiting = await other.store.pending_outbox("tester", older_than_s=0)
    expected = [
        event.position
        for event in await lived.store.read_all(Cursor())
        if event.type == "noted" and not (event.stream == "case-b" and event.version <= 2)
    ]
    assert [event.position for event in waiting] == sorted(expected)


async def test_for_a_consumer_of_everything_nothing_is_left_out(
    lived: Journal, other: Journal, tmp_path: Path
) -> None:
    await restored(await backed_up(lived, tmp_path / "backup"), other, NOTED, EVERYTHING)
    assert len(await other.store.pending_outbox("tester", older_than_s=0)) == 11


async def test_a_restored_record_is_verified_and_sealed_on_with_a_key_of_its_own(
    lived: Journal, other: Journal, tmp_path: Path
) -> None:
    await restored(await backed_up(lived, tmp_path / "backup"), other)
    assert (await other.verify(KEY.public)).ok
    with pytest.raises(Exception, match="another key"):
        await other.sealer(OTHER_KEY)
    adopting = await lived_sealer(other)
    await adopting.adopt()
    sealer = await other.sealer(OTHER_KEY)
    await other.note("a", "five")
    assert await sealer.step() == 3
    verdict = await other.verify(OTHER_KEY.public)
    assert (verdict.ok, verdict.checkpoints, verdict.unsealed) == (True, 4, 0)
    assert not (await other.verify(KEY.public)).ok


async def lived_sealer(journal: Journal) -> Sealer:
    """A sealer with the new key that has not been started: it may adopt."""
    assert journal.connections is not None
    lease = await journal.store.acquire(LEASE, "restore", 60, takeover=True)
    assert lease is not None
    return Sealer(journal.connections, journal.ledger, OTHER_KEY, LeaseClaim(name=LEASE, epoch=lease.epoch))


async def test_a_position_that_was_sealed_as_empty_is_not_given_again(
    journal: Journal, other: Journal, tmp_path: Path
) -> None:
    sealer = await journal.sealer()
    await journal.note("a", "one")
    await journal.fetch("select nextval('events_position_seq') from generate_series(1, 5)")
    await sealer.step()
    await restored(await backed_up(journal, tmp_path / "backup"), other)
    await other.note("a", "two")
    assert [event.position for event in await other.store.read_all(Cursor())] == [1, 7]
    assert (await other.verify()).ok


async def test_files_are_as_they_were_and_no_secret_is_among_them(
    sealed: Journal, other: Journal, tmp_path: Path
) -> None:
    sealed.data_dir = tmp_path / "first"
    wanted = furnish(sealed.data_dir)
    file = await backed_up(sealed, tmp_path / "backup")
    await restored(file, other)
    found = {
        str(place.relative_to(other.data_dir)): place
        for place in other.data_dir.rglob("*")
        if place.is_file() and "journal" not in place.parts
    }
    assert {name: place.read_bytes() for name, place in found.items()} == {
        name: data for name, (_, data) in wanted.items()
    }
    assert {name: place.stat().st_mode & 0o444 for name, place in found.items()} == {
        name: mode & 0o444 for name, (mode, _) in wanted.items()
    }
    assert (other.data_dir / "mirrors/r.git/refs/heads").is_dir()
    assert b"stays where it is" not in gzip.decompress(file.read_bytes())


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/outside", "evidence/../../outside", "secrets/api-token", ""]
)
async def test_a_file_that_belongs_nowhere_is_refused(
    sealed: Journal, other: Journal, tmp_path: Path, path: str
) -> None:
    file = await backed_up(sealed, tmp_path / "backup")
    lines = gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)
    piece = json.dumps({"file": {"path": path, "mode": 420, "data": "eA=="}}).replace('{"file": ', '{"file":')
    end = json.loads(lines[-1])
    end["end"]["file"] = 1
    file.write_bytes(
        gzip.compress(
            "".join([*lines[:-1], piece + "\n", json.dumps(end, separators=(",", ":")) + "\n"]).encode()
        )
    )
    with pytest.raises(ArchiveError, match="belongs nowhere"):
        await restored(file, other)
    assert not (tmp_path / "outside").exists()


async def test_every_table_is_in_a_backup_or_known_to_be_made_anew(journal: Journal) -> None:
    """A new table needs a decision: is it part of what a stack goes on from?"""
    tables = {
        row["table_name"]
        for row in await journal.fetch(
            "select table_name from information_schema.tables where table_schema = 'public'"
        )
    }
    assert tables == {*RECORD, *STATE, *MADE_ANEW}
    assert not RECORD.keys() & STATE.keys()
    assert len(FOLDERS) == 4
