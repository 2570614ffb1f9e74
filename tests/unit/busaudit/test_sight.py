"""What two looks at the bus give away, by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.busaudit.sight import MARKS, Mark, Sight, differences, thinned

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEFORE = Sight(
    server="s1",
    created=NOON - timedelta(days=1),
    messages=100,
    bytes=100_000,
    first_seq=1,
    first_at=NOON - timedelta(hours=1),
    last_seq=100,
    deleted=0,
    max_age_s=86_400.0 * 7,
    max_bytes=2**30,
)


def sight(**values: Any) -> Sight:
    return msgspec.structs.replace(BEFORE, **values)


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"last_seq": 150, "messages": 150},
        {"server": "s2"},
        {"max_age_s": 1_000.0, "max_bytes": 10**6},
    ],
)
def test_a_stream_that_only_grows_is_sound(now: dict[str, Any]) -> None:
    assert differences(BEFORE, sight(**now), NOON) == []


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"created": NOON}, "made anew"),
        ({"last_seq": 60, "messages": 60}, "went back from 100 to 60"),
        ({"last_seq": 150, "messages": 149, "deleted": 1}, "1 messages went missing"),
        ({"messages": 99}, "counts 99 messages from 1 to 100"),
        ({"first_seq": 2, "messages": 99}, "messages 1 to 1 were removed"),
        ({"first_seq": 101, "messages": 0, "bytes": 0}, "messages 1 to 100 were removed"),
    ],
)
def test_what_cannot_have_happened_is_said(now: dict[str, Any], reason: str) -> None:
    (found,) = differences(BEFORE, sight(**now), NOON)
    assert reason in found


def test_the_oldest_messages_may_go_for_age() -> None:
    now = sight(first_seq=50, messages=51)
    late = BEFORE.first_at + timedelta(seconds=BEFORE.max_age_s)
    assert differences(BEFORE, now, late) == []
    assert differences(BEFORE, now, late - timedelta(hours=1)) != []


def test_the_oldest_messages_may_go_for_room() -> None:
    now = sight(first_seq=50, messages=51)
    full = sight(bytes=BEFORE.max_bytes - 2**20)
    assert differences(full, now, NOON) == []


def test_what_came_and_went_between_two_looks_did_not_go_for_age() -> None:
    empty = sight(first_seq=101, messages=0, bytes=0)
    assert differences(empty, sight(first_seq=106, last_seq=105, messages=0, bytes=0), NOON) != []


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=300, unique=True))
def test_marks_stay_few_in_order_and_end_with_the_newest(sequences: list[int]) -> None:
    marks: tuple[Mark, ...] = ()
    for sequence in sorted(sequences):
        marks = thinned(marks, Mark(sequence, str(sequence)))
        assert marks[-1].sequence == sequence
        assert len(marks) <= MARKS + 1
        assert list(marks) == sorted(marks, key=lambda mark: mark.sequence)
        assert marks[0].sequence == min(sequences)
