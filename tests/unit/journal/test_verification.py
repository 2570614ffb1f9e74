"""Whatever is changed in a sealed record is found, and the first position is named."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.eventstore.row import Row, row_hash
from libs.eventstore.store import StreamHead
from libs.journal import checkpoint as checkpoints
from libs.journal.checkpoint import CheckpointError
from libs.journal.signing import SigningKey
from libs.journal.source import Kept, KeptHead
from libs.journal.verification import Finding, Verdict
from tests.unit.journal.records import AT, FEW, KEY, Record, grown, records

STRANGER = SigningKey("bb" * 32)


def judged(record: Record, trusted: str | None = KEY.public) -> Verdict:
    return asyncio.run(record.verify(trusted))


def first(record: Record) -> Finding:
    verdict = judged(record)
    assert not verdict.ok
    assert verdict.first is not None
    return verdict.first


def rehashed(row: Row, **fields: Any) -> Row:
    """Change a row and give it the hash that its new content has, as a careful forger would."""
    row = msgspec.structs.replace(row, **fields)
    return msgspec.structs.replace(row, hash=row_hash(row))


def flipped(text: str, at: int) -> str:
    """Change one hexadecimal digit."""
    at %= len(text)
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


@FEW
@given(records())
def test_an_untouched_record_is_fine_and_what_is_not_sealed_yet_is_counted(record: Record) -> None:
    verdict = judged(record)
    assert verdict.ok, verdict
    beyond = [kept.row.position for kept in record.rows if kept.row.position > record.upto]
    assert (verdict.events, verdict.unsealed) == (len(record.rows), len(beyond))
    assert verdict.first_unsealed == (beyond[0] if beyond else None)
    assert (verdict.checkpoints, verdict.sealed_upto, verdict.key) == (
        len(record.table),
        record.upto,
        KEY.public,
    )


@FEW
@given(records(), st.data())
def test_a_transaction_id_may_be_anything(record: Record, data: st.DataObject) -> None:
    for position in record.sealed:
        record.replace(position, xid=data.draw(st.integers(0, 9)))
    assert judged(record).ok


CHANGES: dict[str, Any] = {
    "id": lambda row, n: flipped(row.id, 0),
    "stream": lambda row, n: row.stream + "x",
    "category": lambda row, n: "other",
    "version": lambda row, n: row.version + 1 + n,
    "type": lambda row, n: row.type[:-1] + "_",
    "schema_version": lambda row, n: row.schema_version + 1,
    "data": lambda row, n: row.data.replace(b'"case_id":"', b'"case_id":"x', 1),
    "meta": lambda row, n: row.meta.replace(b"tester", b"toaster"),
    "prev_hash": lambda row, n: flipped(row.prev_hash, n) if row.prev_hash else "00",
    "hash": lambda row, n: flipped(row.hash, n),
    "recorded_at": lambda row, n: row.recorded_at + timedelta(microseconds=1 + n),
}


@pytest.mark.parametrize("column", CHANGES)
@FEW
@given(record=records(), data=st.data())
def test_a_change_in_any_column_is_named(column: str, record: Record, data: st.DataObject) -> None:
    position = data.draw(st.sampled_from([kept.row.position for kept in record.rows]))
    row = record.rows[record.at(position)].row
    record.replace(position, **{column: CHANGES[column](row, data.draw(st.integers(0, 63)))})
    found = first(record)
    assert (found.position, found.kind) == (position, "changed")


@FEW
@given(records(), st.data())
def test_a_change_that_was_hashed_anew_is_named(record: Record, data: st.DataObject) -> None:
    position = data.draw(st.sampled_from(record.sealed))
    at = record.at(position)
    record.rows[at] = Kept(
        rehashed(record.rows[at].row, recorded_at=AT + timedelta(days=1)), record.rows[at].category
    )
    found = first(record)
    assert (found.position, found.kind) == (position, "changed")


@FEW
@given(records(), st.data())
def test_a_history_that_was_written_anew_from_some_event_on_is_named(
    record: Record, data: st.DataObject
) -> None:
    position = data.draw(st.sampled_from(record.sealed))
    stream = record.rows[record.at(position)].row.stream
    hash_ = None
    for at, kept in enumerate(record.rows):
        if kept.row.stream == stream and kept.row.position >= position:
            fields = {"prev_hash": hash_} if hash_ is not None else {"recorded_at": AT + timedelta(days=1)}
            record.rows[at] = Kept(rehashed(kept.row, **fields), kept.category)
            hash_ = record.rows[at].row.hash
    head = next(kept.head for kept in record.heads if kept.head.stream == stream)
    record.heads = [kept for kept in record.heads if kept.head.stream != stream]
    record.heads.append(KeptHead(msgspec.structs.replace(head, hash=hash_ or ""), stream.partition("-")[0]))
    found = first(record)
    assert (found.position, found.kind) == (position, "changed")


@FEW
@given(records(), st.data())
def test_removed_events_are_named_at_the_end_as_truncated(record: Record, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(record.sealed), min_size=1))
    record.rows = [kept for kept in record.rows if kept.row.position not in gone]
    found = first(record)
    last = max((kept.row.position for kept in record.rows), default=0)
    assert (found.position, found.kind) == (min(gone), "removed" if last > min(gone) else "truncated")


@FEW
@given(records(), st.data())
def test_a_whole_stream_that_is_gone_with_its_head_is_named(record: Record, data: st.DataObject) -> None:
    position = data.draw(st.sampled_from(record.sealed))
    stream = record.rows[record.at(position)].row.stream
    earliest = min(kept.row.position for kept in record.rows if kept.row.stream == stream)
    record.rows = [kept for kept in record.rows if kept.row.stream != stream]
    record.heads = [kept for kept in record.heads if kept.head.stream != stream]
    assert first(record).position == earliest


@FEW
@given(records(least=2), st.data())
def test_swapped_events_are_named(record: Record, data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.sets(st.sampled_from(record.sealed), min_size=2, max_size=2)))
    record.replace(one, position=-1)
    record.replace(other, position=one)
    record.replace(-1, position=other)
    found = first(record)
    assert (found.position, found.kind) == (one, "changed")


@FEW
@given(records(), st.data())
def test_a_forged_event_within_what_is_sealed_is_named_whatever_its_transaction_id(
    record: Record, data: st.DataObject
) -> None:
    taken = {kept.row.position for kept in record.rows}
    free = [position for position in (*range(-3, record.upto + 1), record.drawn + 1) if position not in taken]
    position = data.draw(st.sampled_from(free))
    row = grown(StreamHead(stream="case-new"), "forged", 1_000)
    xid = data.draw(st.integers(0, 99))
    record.rows.append(Kept(msgspec.structs.replace(row, position=position, xid=xid), "case"))
    record.heads.append(KeptHead(StreamHead(stream="case-new", version=1, hash=row.hash), "case"))
    found = first(record)
    assert (found.position, found.kind) == (position, "inserted")


@FEW
@given(records(), st.data())
def test_an_event_moved_elsewhere_is_named(record: Record, data: st.DataObject) -> None:
    position = data.draw(st.sampled_from(record.sealed))
    taken = {kept.row.position for kept in record.rows}
    target = data.draw(st.sampled_from([one for one in range(-2, record.drawn + 3) if one not in taken]))
    record.replace(position, position=target)
    within = target <= record.upto or target > record.drawn
    assert first(record).position == (min(position, target) if within else position)


@FEW
@given(records(), st.data())
def test_an_unsealed_event_that_was_cut_off_is_noticed_by_its_streams_head(
    record: Record, data: st.DataObject
) -> None:
    last = max(kept.row.position for kept in record.rows)
    stream = record.rows[record.at(last)].row.stream
    record.rows = [kept for kept in record.rows if kept.row.position != last]
    verdict = judged(record)
    assert any(finding.kind == "stream" and stream in finding.detail for finding in verdict.findings)


@FEW
@given(records(), st.data())
def test_a_head_that_was_changed_or_removed_is_named_by_its_stream(
    record: Record, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(record.heads) - 1))
    head = record.heads[at].head
    change = data.draw(st.sampled_from(["gone", "version", "hash", "category"]))
    if change == "gone":
        del record.heads[at]
    elif change == "category":
        record.heads[at] = KeptHead(head, "other")
    else:
        value = head.version + 1 if change == "version" else flipped(head.hash, 3)
        record.heads[at] = KeptHead(
            msgspec.structs.replace(head, **{change: value}), head.stream.partition("-")[0]
        )
    found = first(record)
    assert found.kind == "stream"
    assert head.stream in found.detail


PLACES = st.sampled_from(["table", "file", "both"])


def spoil(record: Record, place: str, number: int, line: str | None) -> None:
    """Replace a checkpoint's line in one of its places or both; None removes it."""
    if place in ("table", "both"):
        record.table = [
            (one, line if one == number else text)
            for one, text in record.table
            if one != number or line is not None
        ]  # type: ignore[misc]
    if place in ("file", "both"):
        at = number - 1
        record.file = [*record.file[:at], *([line] if line is not None else []), *record.file[at + 1 :]]


def begins(record: Record, number: int) -> int:
    """Tell the first position that a checkpoint seals."""
    return checkpoints.read(dict(record.table)[number]).checkpoint.after + 1


@FEW
@given(records(), PLACES, st.data())
def test_a_checkpoint_with_a_changed_byte_is_named(record: Record, place: str, data: st.DataObject) -> None:
    number, line = data.draw(st.sampled_from(record.table))
    position = begins(record, number)
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.sampled_from([one for one in '0a1" ,}' if one != line[at]]))
    spoil(record, place, number, line[:at] + byte + line[at + 1 :])
    found = first(record)
    assert (found.position, found.kind) == (position, "checkpoint")


@FEW
@given(records(), PLACES, st.data())
def test_a_checkpoint_that_was_removed_is_named(record: Record, place: str, data: st.DataObject) -> None:
    # The last one of both places is the end of the journal: nothing tells that there was more.
    numbers = [number for number, _ in record.table]
    number = data.draw(st.sampled_from(numbers[:-1] if place == "both" and len(numbers) > 1 else numbers))
    if place == "both" and number == numbers[-1]:
        return
    position = begins(record, number)
    spoil(record, place, number, None)
    found = first(record)
    assert (found.position, found.kind) == (position, "checkpoint")


@FEW
@given(records(), PLACES, st.booleans(), st.data())
def test_a_checkpoint_that_was_signed_by_somebody_else_is_named(
    record: Record, place: str, honest: bool, data: st.DataObject
) -> None:
    number, line = data.draw(st.sampled_from(record.table))
    position = begins(record, number)
    given = checkpoints.read(line).checkpoint
    before = checkpoints.read(dict(record.table)[number - 1]) if number > 1 else None
    # Either of the true events, or of one event less.
    places = [
        (kept.row.position, kept.row.hash)
        for kept in record.rows
        if given.after < kept.row.position <= given.upto
    ]
    forged = checkpoints.seal(
        places if honest else places[:-1], before=before, upto=given.upto, sealed_at=AT, key=STRANGER
    )
    spoil(record, place, number, forged.line)
    found = first(record)
    assert (found.position, found.kind) == (position, "checkpoint")


@FEW
@given(records(), PLACES)
def test_a_forged_checkpoint_behind_the_last_is_named(record: Record, place: str) -> None:
    before = checkpoints.read(record.table[-1][1])
    forged = checkpoints.seal([], before=before, upto=record.upto + 1, sealed_at=AT, key=STRANGER)
    if place in ("table", "both"):
        record.table.append((forged.checkpoint.number, forged.line))
    if place in ("file", "both"):
        record.file.append(forged.line)
    found = first(record)
    assert (found.position, found.kind) == (record.upto + 1, "checkpoint")


@FEW
@given(records(), st.data())
def test_an_event_whose_hash_only_begins_as_the_sealed_one_is_noticed_by_the_digest(
    record: Record, data: st.DataObject
) -> None:
    """As after a search for such a hash: what is shown openly of it fits, what was signed does not."""
    number, line = data.draw(st.sampled_from(record.table))
    given = checkpoints.read(line).checkpoint
    before = checkpoints.read(dict(record.table)[number - 1]) if number > 1 else None
    places = [
        (kept.row.position, flipped(kept.row.hash, 63))
        for kept in record.rows
        if given.after < kept.row.position <= given.upto
    ]
    if not places:
        return
    signed = checkpoints.seal(places, before=before, upto=given.upto, sealed_at=AT, key=KEY)
    record.table[number - 1 :] = [(number, signed.line)]
    record.file[number - 1 :] = [signed.line]
    found = first(record)
    assert (found.position, found.kind) == (given.after + 1, "changed")
    assert "digest" in found.detail


@FEW
@given(records())
def test_another_key_is_named_and_a_journal_that_changed_its_key_in_order_is_fine(record: Record) -> None:
    verdict = judged(record, STRANGER.public)
    assert verdict.first is not None
    assert (verdict.first.position, verdict.first.kind) == (1, "checkpoint")
    assert judged(record, None).ok

    before = checkpoints.read(record.table[-1][1])
    adopted = checkpoints.seal([], before=before, upto=record.upto, sealed_at=AT, key=STRANGER)
    record.table.append((adopted.checkpoint.number, adopted.line))
    record.file.append(adopted.line)
    assert judged(record, STRANGER.public).ok
    assert not judged(record, KEY.public).ok


@FEW
@given(records(), st.data())
def test_checkpoints_in_another_order_are_noticed(record: Record, data: st.DataObject) -> None:
    if len(record.file) < 2:
        return
    record.file = data.draw(st.permutations(record.file).filter(lambda lines: lines != record.file))
    assert first(record).kind == "checkpoint"


def test_a_signature_says_nothing_about_a_checkpoint_that_contradicts_itself() -> None:
    good = checkpoints.seal([(1, "ab" * 32)], before=None, upto=2, sealed_at=AT, key=KEY)
    for change in ({"upto": 0}, {"marks": b"1234567"}, {"present": ((2, 1),)}, {"present": ((0, 0),)}):
        body = msgspec.json.encode(msgspec.structs.replace(good.checkpoint, **change))
        line = f'{{"checkpoint":{body.decode()},"signature":"{KEY.sign(body).hex()}"}}'
        with pytest.raises(CheckpointError, match="contradicts"):
            checkpoints.read(line)
