from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.message import stream_name
from libs.messaging.subject import covers, matches, overlap, reduced

tokens = st.sampled_from(["a", "b", "*"])
patterns = st.tuples(st.lists(tokens, min_size=1, max_size=3), st.booleans()).map(
    lambda parts: ".".join([*parts[0], ">"] if parts[1] else parts[0])
)
SUBJECTS = [".".join(each) for size in (1, 2, 3, 4, 5) for each in itertools.product("abc", repeat=size)]


@pytest.mark.parametrize(
    ("pattern", "subject", "taken"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("$JS.ACK.EVENTS.x.>", "$JS.ACK.EVENTS.x.1.2", True),
    ],
)
def test_a_pattern_takes_what_nats_says(pattern: str, subject: str, taken: bool) -> None:
    assert matches(pattern, subject) is taken


@settings(max_examples=40)
@given(patterns, patterns)
def test_covering_and_overlapping_say_what_the_subjects_say(one: str, other: str) -> None:
    mine = {subject for subject in SUBJECTS if matches(one, subject)}
    theirs = {subject for subject in SUBJECTS if matches(other, subject)}
    assert covers(one, other) is (theirs <= mine)
    assert overlap(one, other) is bool(mine & theirs)


@settings(max_examples=40)
@given(st.lists(patterns, max_size=5))
def test_reducing_changes_nothing_that_is_taken(many: list[str]) -> None:
    few = reduced(many)
    for subject in SUBJECTS[:40]:
        assert any(matches(each, subject) for each in many) is any(matches(each, subject) for each in few)
    assert not any(covers(one, other) for one, other in itertools.permutations(few, 2))


@pytest.mark.parametrize("key", ["", "a b", "a.b", "a\n", "\na", "é", "a" * 121])
def test_a_key_that_is_no_token_of_a_subject_names_no_stream(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be a stream key"):
        stream_name("task", key)


def test_a_key_of_every_character_that_is_taken_names_a_stream() -> None:
    assert stream_name("task", "aZ0_-" * 24) == "task-" + "aZ0_-" * 24
