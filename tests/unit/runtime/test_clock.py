"""Ids that are made."""

from __future__ import annotations

import time
import uuid

from libs.eventstore.row import _UUID
from libs.runtime.clock import RandomIds


def test_ids_are_uuids_of_version_7_in_their_usual_form_that_tell_when_they_were_made() -> None:
    ids, before = RandomIds(), time.time_ns() // 1_000_000
    made = [ids.new() for _ in range(500)]
    after = time.time_ns() // 1_000_000
    for one in made:
        assert _UUID.fullmatch(one)
        assert (uuid.UUID(one).version, uuid.UUID(one).variant) == (7, uuid.RFC_4122)
        assert before <= uuid.UUID(one).int >> 80 <= after
    assert [one[:13] for one in made] == sorted(one[:13] for one in made)


def test_no_bit_that_should_be_random_stands_still() -> None:
    ids = RandomIds()
    seen = [uuid.UUID(ids.new()).int & ((1 << 80) - 1) for _ in range(500)]
    assert len(set(seen)) == 500
    fixed = {76, 77, 78, 79, 62, 63}
    for bit in range(80):
        ones = sum(one >> bit & 1 for one in seen)
        assert (ones in (0, 500)) == (bit in fixed), bit


def test_two_that_make_ids_make_different_ones() -> None:
    first, second = RandomIds(), RandomIds()
    assert {first.new() for _ in range(100)}.isdisjoint(second.new() for _ in range(100))
