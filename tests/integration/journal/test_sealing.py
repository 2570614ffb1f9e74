"""The sealer: nothing committed later slips into what it has sealed, and it goes on wherever it was stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from libs.eventstore.codec import requests
from libs.eventstore.row import seal
from libs.journal import checkpoint as checkpoints
from libs.journal import sealer as module
from libs.journal.ledger import Ledger
from libs.journal.sealer import LEASE, JournalBrokenError, keep_sealing
from libs.runtime.leadership import LeaseLostError
from libs.testing.samples import Noted, first, plain, registry
from tests.integration.journal.scene import KEY, OTHER_KEY, Journal

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, wait little."""
    monkeypatch.setattr(module, "EVERY_S", 0.02)
    monkeypatch.setattr(module, "RETRY_S", 0.05)


async def append_by(connection: asyncpg.Connection[asyncpg.Record], case: str) -> None:
    """Append with nothing around it: a store's announcement would be one more transaction."""
    (request,), _ = requests([[seal(plain(first(Noted(case_id=case))), registry)]])
    statement = "select refusal from append_events($1::jsonb, '{}')"
    assert await connection.fetchval(statement, request.decode()) is None


@pytest.mark.parametrize("early", ["before", "after"])
async def test_a_late_commit_keeps_its_range_open_until_it_has_ended(journal: Journal, early: str) -> None:
    """Whether its position is before or behind that of an event which is there already, nothing is sealed around it.

    The one behind is the hard case: no transaction that began later has ended, so a snapshot's xmax is not beyond it.
    """
    sealer = await journal.sealer()
    connection, late = await asyncpg.connect(journal.dsn), await asyncpg.connect(journal.dsn)
    if early == "before":
        await append_by(connection, "early")
    transaction = late.transaction()
    await transaction.start()
    await append_by(late, "late")
    if early == "after":
        await append_by(connection, "early")
    assert [await sealer.step() for _ in range(2)] == [0, 0]
    await transaction.commit()
    assert await sealer.step() == 2
    await late.close()
    await connection.close()
    verdict = await journal.verify()
    assert (verdict.ok, verdict.unsealed) == (True, 0)


async def test_positions_that_were_rolled_back_are_sealed_as_empty(journal: Journal) -> None:
    sealer = await journal.sealer()
    connection = await asyncpg.connect(journal.dsn)
    undone = connection.transaction()
    await undone.start()
    await append_by(connection, "gone")
    await undone.rollback()
    await connection.close()
    assert await sealer.step() == 0
    await journal.note("a", "one")
    assert await sealer.step() == 1
    (line,) = journal.ledger.lines()
    assert checkpoints.read(line).checkpoint.present == ((2, 2),)
    assert (await journal.verify()).ok


async def test_a_record_that_is_there_already_is_sealed_in_parts(journal: Journal) -> None:
    await journal.note("a", *"1234567")
    sealer = await journal.sealer(chunk=3)
    assert [await sealer.step() for _ in range(4)] == [3, 3, 1, 0]
    verdict = await journal.verify()
    assert (verdict.ok, verdict.checkpoints, verdict.unsealed) == (True, 3, 0)


async def test_nothing_is_written_while_nothing_happens(sealed: Journal) -> None:
    sealer = await sealed.sealer()
    assert [await sealer.step() for _ in range(3)] == [0, 0, 0]
    assert len(list(sealed.ledger.lines())) == 2


async def test_a_sealer_goes_on_where_another_was_killed_between_table_and_file(sealed: Journal) -> None:
    whole = sealed.ledger.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for left in (lines[0], lines[0] + lines[1][:70], whole):
        sealed.ledger.path.write_bytes(left)
        await sealed.sealer()
        assert sealed.ledger.path.read_bytes() == whole
    assert (await sealed.verify()).ok


@pytest.mark.parametrize("left", ["nothing", "an empty file", "another line"])
async def test_nothing_is_sealed_on_top_of_a_file_that_was_tampered_with(sealed: Journal, left: str) -> None:
    path = sealed.ledger.path
    lines = path.read_text().splitlines(keepends=True)
    match left:
        case "nothing":
            path.unlink()
        case "an empty file":
            path.write_text("")
        case _:
            path.write_text(lines[0] + lines[1].replace('upto":9', 'upto":8'))
    with pytest.raises(JournalBrokenError):
        await sealed.sealer()


async def test_nothing_is_sealed_with_another_key_or_behind_a_forged_checkpoint(sealed: Journal) -> None:
    with pytest.raises(JournalBrokenError, match="another key"):
        await sealed.sealer(OTHER_KEY)
    await sealed.tamper("update checkpoint set line = replace(line, 'upto\":9', 'upto\":8') where number = 2")
    with pytest.raises(JournalBrokenError, match="signature"):
        await sealed.sealer()


async def test_of_two_sealers_the_one_whose_lease_was_taken_over_writes_nothing(journal: Journal) -> None:
    old, new = await journal.sealer(), await journal.sealer()
    await journal.note("a", "one")
    with pytest.raises(LeaseLostError):
        await old.step()
    assert await new.step() == 1
    verdict = await journal.verify()
    assert (verdict.ok, verdict.checkpoints) == (True, 1)


async def test_two_sealers_under_one_lease_cannot_write_one_number_twice(journal: Journal) -> None:
    one = await journal.sealer()
    other = await journal.sealer()
    # As if the lease did not exist.
    one._claim = other._claim
    await journal.note("a", "one")
    results = await asyncio.gather(one.step(), other.step(), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["JournalBrokenError", "int"]
    assert (await journal.verify()).ok


async def test_checkpoints_cannot_be_changed_by_anybody_and_not_be_seen_by_services(sealed: Journal) -> None:
    for change in ("update checkpoint set number = number", "delete from checkpoint", "truncate checkpoint"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sealed.fetch(change)
    with pytest.raises(Exception, match="permission denied"):
        await sealed.store._connections.fetch("select * from checkpoint")


async def test_the_keeper_seals_tells_what_is_wrong_and_when_it_is_over(
    journal: Journal, tmp_path: Path
) -> None:
    told: asyncio.Queue[str | None] = asyncio.Queue()
    ledger = Ledger(tmp_path)

    async def sealed_events() -> None:
        while (await journal.verify()).unsealed:
            await asyncio.sleep(0.01)

    keeper = asyncio.create_task(keep_sealing(journal.dsn, KEY, tmp_path, told.put_nowait))
    try:
        async with asyncio.timeout(30):
            assert await told.get() is None
            await journal.note("a", "one")
            await sealed_events()
            # Somebody else takes the lease; whoever keeps sealing has it again a moment later.
            await journal.store.acquire(LEASE, "somebody", 0.01, takeover=True)
            assert "LeaseLost" in (await told.get() or "")
            assert await told.get() is None
            content = ledger.path.read_bytes()
            ledger.path.unlink()
            await journal.note("a", "two")
            assert "gone" in (await told.get() or "") or "gone" in (await told.get() or "")
            ledger.path.write_bytes(content)
            while await told.get() is not None:
                pass
            await journal.note("a", "three")
            await sealed_events()
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})
    assert (await journal.verify()).ok
