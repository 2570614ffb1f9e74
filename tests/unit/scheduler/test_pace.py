"""How often a slot comes free: what is measured, and what is no basis."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.pace import LEAST, MOST, Turn, pace, spoken
from tests.unit.scheduler.facts import NOW


def handed_on(*at: float) -> list[Turn]:
    """At each of these seconds a slot is given back and given to somebody else."""
    turns: list[Turn] = []
    for seconds in at:
        when = NOW + timedelta(seconds=seconds)
        turns += [("slot_released", when), ("slot_granted", when)]
    return turns


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_it_is_the_mean_time_between_slots_that_came_free() -> None:
    found = pace(handed_on(0, 4, 10, 12, 20, 30), running=3, limit=3, now=NOW + after(32))
    assert found is not None
    assert (found.every_s, found.over) == (6.0, 5)
    assert found.wait_s(38) == 228.0
    assert found.told("a slot has come free") == "a slot has come free every 6.0 s over the last 5"


def test_a_silence_longer_than_usual_counts() -> None:
    found = pace(handed_on(0, 1, 2, 3, 4, 5), running=1, limit=1, now=NOW + after(65))
    assert found is not None
    assert found.every_s == pytest.approx(65 / 6)


def test_few_are_no_basis() -> None:
    few = handed_on(*range(LEAST))
    assert pace(few, running=1, limit=1, now=NOW + after(10)) is None
    assert pace([], running=1, limit=1, now=NOW) is None
    assert pace(handed_on(*range(LEAST + 1)), running=1, limit=1, now=NOW + after(10)) is not None


def test_what_came_free_at_once_is_counted_but_takes_no_time() -> None:
    found = pace(handed_on(0, 0, 0, 10, 10, 20, 20, 20), running=9, limit=9, now=NOW + after(20))
    assert found is not None
    assert (found.every_s, found.over) == (4.0, 5)
    assert pace(handed_on(*[7] * 20), running=9, limit=9, now=NOW + after(20)) is None


def test_only_the_time_in_which_all_slots_were_taken_counts() -> None:
    quiet = handed_on(0, 1_000, 2_000)
    # Somebody gave a slot back and nobody wanted it, for an hour.
    quiet.append(("slot_released", NOW + after(3_000)))
    quiet.append(("slot_granted", NOW + after(6_600)))
    busy = handed_on(*range(6_602, 6_620, 2))
    found = pace([*quiet, *busy], running=2, limit=2, now=NOW + after(6_619))
    assert found is not None
    assert (found.every_s, found.over) == (2.0, 8)


def test_while_a_slot_is_free_there_is_nothing_to_wait_for() -> None:
    assert pace(handed_on(*range(20)), running=1, limit=2, now=NOW + after(20)) is None


def test_the_last_fifty_are_enough() -> None:
    slow, fast = [100.0 * number for number in range(20)], [2_000.0 + number for number in range(200)]
    found = pace(handed_on(*slow, *fast), running=1, limit=1, now=NOW + after(2_199))
    assert found is not None
    assert (found.every_s, found.over) == (1.0, MOST - 1)


@given(
    st.lists(st.floats(0, 1e5), min_size=1, max_size=80),
    st.integers(1, 20),
    st.floats(0, 1e5),
)
def test_whatever_was_recorded_it_lies_between_the_shortest_and_the_longest_wait(
    gaps: list[float], limit: int, silence: float
) -> None:
    at = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    found = pace(handed_on(*at), running=limit, limit=limit, now=NOW + after(at[-1] + silence))
    if found is not None:
        assert LEAST <= found.over <= MOST
        assert 0 <= found.every_s <= max(*gaps, silence) + 1e-3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0412, "41 ms"), (6.42, "6.4 s"), (59.6, "60 s"), (228, "4 min"), (9_000, "2 h"), (5_400, "90 min")],
)
def test_a_time_is_told_as_exactly_as_it_is_worth(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
