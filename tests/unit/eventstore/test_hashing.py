"""The hash of an event: fixed bytes, every field, the same for every way of writing a number."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from libs.eventstore.hashing import as_written, canonical, event_hash, holds, is_canonical, timestamp

FIELDS: dict[str, Any] = {
    "id_": "6f1de3a0-0000-4000-8000-000000000001",
    "stream": "case-1",
    "version": 1,
    "type_": "noted",
    "schema_version": 1,
    "data": {"type": "noted", "case_id": "1", "amount": 1.5},
    "meta": {"service": "tester"},
    "recorded_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "prev_hash": "",
}


def hashed(**fields: Any) -> str:
    return event_hash(**{**fields, "data": canonical(fields["data"]), "meta": canonical(fields["meta"])})


def test_hash_never_changes() -> None:
    # Written down once: a different value means that every recorded stream looks forged.
    assert hashed(**FIELDS) == "6c452c5444172dbd23d05dc147f067cbe51932410e2787ec700d350a1a5613c6"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id_", "6f1de3a0-0000-4000-8000-000000000002"),
        ("stream", "case-2"),
        ("version", 2),
        ("type_", "other"),
        ("schema_version", 2),
        ("data", {"type": "noted", "case_id": "1", "amount": 1.25}),
        ("meta", {"service": "other"}),
        ("recorded_at", datetime(2026, 1, 2, 3, 4, 5, 678902, tzinfo=UTC)),
        ("prev_hash", "00"),
    ],
)
def test_every_field_counts(field: str, value: object) -> None:
    assert hashed(**{**FIELDS, field: value}) != hashed(**FIELDS)


def test_order_of_keys_does_not_count() -> None:
    data = dict(reversed(FIELDS["data"].items()))
    assert hashed(**{**FIELDS, "data": data}) == hashed(**FIELDS)


def test_time_is_hashed_in_utc() -> None:
    elsewhere = FIELDS["recorded_at"].astimezone(timezone(timedelta(hours=9)))
    assert timestamp(elsewhere) == "2026-01-02T03:04:05.678901Z"
    assert hashed(**{**FIELDS, "recorded_at": elsewhere}) == hashed(**FIELDS)
    with pytest.raises(ValueError, match="zone"):
        timestamp(datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_hashes_alike_after_a_database_rewrote_it(number: float) -> None:
    # JSONB keeps the exact decimal and prints it without an exponent.
    stored = f'{{"n": {Decimal(msgspec.json.encode(number).decode()):f}}}'
    read = as_written(msgspec.json.decode(stored))
    assert hashed(**{**FIELDS, "data": read}) == hashed(**{**FIELDS, "data": {"n": number}})


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_safe_integers_stay_integers(number: int) -> None:
    assert as_written([number]) == [number]
    assert isinstance(as_written([number])[0], int)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_bytes_are_those_of_rfc_8785_for_every_character() -> None:
    for start in range(0, 0x11000, 0x100):
        text = "".join(chr(code) for code in range(start, start + 0x100) if not 0xD800 <= code < 0xE000)
        assert canonical({"text": text}) == rfc8785.dumps({"text": text})


def test_keys_beyond_16_bits_are_sorted_as_utf_16() -> None:
    value = {"\uffff": 1, "\U00010000": 2}
    assert list(msgspec.json.decode(canonical(value))) == ["\U00010000", "\uffff"]
    assert canonical(value) == rfc8785.dumps(value)


@given(JSON)
def test_what_passes_for_canonical_is(value: Any) -> None:
    written = msgspec.json.encode(value, order="sorted")
    assert not is_canonical(written) or written == rfc8785.dumps(value)


def test_integers_that_json_cannot_hold_have_no_hash() -> None:
    for number in (2**53, -(2**53), 10**30):
        with pytest.raises(ValueError, match="safe integer"):
            hashed(**{**FIELDS, "data": {"n": number}})


def test_text_is_found_wherever_it_stands() -> None:
    value = json.loads('{"a": [1, {"b\\u0000": null}], "c": "d"}')
    assert holds(value, "\0")
    assert holds(value, "d")
    assert not holds(value, "e")
