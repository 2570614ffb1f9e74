"""The check of bounds bites: whoever waits too long is named, and whoever waits as long as is published is not."""

from __future__ import annotations

from typing import Any

import pytest

from libs.testing.turns import slots_go_in_turn
from tests.unit.testing.histories import enqueued, granted, told


def flood(count: int, priority: str = "urgent", prefix: str = "f") -> list[Any]:
    """Let so many tasks come, each when the one before it has started."""
    names = [f"{prefix}{number}" for number in range(count)]
    return [
        fact for name in names for fact in (enqueued(name, priority, queue="flood"), granted(name, priority))
    ]


def breaches(*facts: Any) -> list[str]:
    return list(slots_go_in_turn(told(*facts)))


@pytest.mark.parametrize(("priority", "most"), [("normal", 5), ("low", 16)])
def test_a_class_that_is_passed_over_too_often_is_named(priority: str, most: int) -> None:
    waiting = enqueued("a", priority)
    assert breaches(waiting, *flood(most), granted("a", priority)) == []
    assert (
        f"{most + 1} starts in a row passed over class {priority}" in breaches(waiting, *flood(most + 1))[0]
    )


def test_while_nobody_of_a_class_can_start_none_of_it_is_passed_over() -> None:
    paused, resumed = ("queue_paused", {"queue": "red"}), ("queue_resumed", {"queue": "red"})
    red = enqueued("a", "normal", queue="red")
    assert breaches(red, *flood(5), paused, *flood(9, prefix="g"), resumed, *flood(5, prefix="h")) == []
    needy = enqueued("a", "normal", "x")
    assert breaches(needy, *flood(20), ("dependency_met", {"task_id": "x"}), *flood(5, prefix="g")) == []
    assert (
        breaches(enqueued("a"), *flood(5), ("task_dequeued", {"task_id": "a"}), *flood(9, prefix="g")) == []
    )


def test_who_has_waited_longest_comes_among_eight_starts_of_its_class() -> None:
    first = enqueued("a", "urgent")
    assert breaches(first, *flood(7), granted("a", "urgent")) == []
    assert "the last 8 starts of class urgent passed over its eldest" in breaches(first, *flood(8))[0]


def test_a_task_that_does_not_start_within_its_bound_is_named() -> None:
    first = enqueued("a", "urgent")
    assert not any("within" in breach for breach in breaches(first, *flood(23), granted("a", "urgent")))
    assert any("a does not start within 24 starts" in breach for breach in breaches(first, *flood(24)))
    second = (enqueued("b", "urgent"), first)
    assert not any(
        "within" in one
        for one in breaches(*second, *flood(22), granted("b", "urgent"), *flood(20, prefix="g"))
    )


THREE = (enqueued("a", "low"), enqueued("b"), enqueued("c"))
NEEDY = (enqueued("a", "urgent", "x"), enqueued("b"))
MET = ("dependency_met", {"task_id": "x"})
RED = enqueued("b", queue="red")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((*THREE, granted("b"), granted("c"), granted("a")), ""),
        ((*THREE, granted("c")), "c got a slot at 4 before somebody who was there before"),
        ((*THREE, granted("a")), "a got a slot at 4 before somebody more urgent"),
        # Another queue of the class has its turn, the eldest of the class has not been left out for it.
        ((enqueued("a"), RED, granted("b")), ""),
        ((enqueued("a"), RED, granted("b", eldest=True)), "somebody who was there before"),
        # Whoever lets sixteen pass goes first, and not before.
        (
            (enqueued("z", "low"), *flood(15), enqueued("u", "urgent"), granted("z")),
            "before somebody more urgent",
        ),
        ((enqueued("z", "low"), *flood(16), enqueued("u", "urgent"), granted("z")), ""),
        # Who waits for another task is passed over until that is there.
        ((*NEEDY, granted("b"), MET, granted("a")), ""),
        ((*NEEDY, granted("a")), "a got a slot at 3 before it could start"),
    ],
)
def test_a_slot_out_of_turn_is_named(facts: Any, words: str) -> None:
    found = breaches(*facts)
    assert len(found) == bool(words)
    assert all(words in one for one in found)


@pytest.mark.parametrize(
    ("facts", "may"),
    [
        ((enqueued("a", "low"), granted("a", "low")), True),
        ((enqueued("a", "low"), granted("a", "urgent")), False),
        ((enqueued("a", "low"), enqueued("b", "urgent", "a"), granted("a", "urgent")), True),
        (
            (
                enqueued("a", "low"),
                enqueued("c", "low", "a"),
                enqueued("b", "urgent", "c"),
                granted("a", "urgent"),
            ),
            True,
        ),
        ((enqueued("a", "urgent"), enqueued("b", "low", "a"), granted("a", "low")), False),
        ((enqueued("a", "low", "x"), granted("a", "low")), False),
        ((enqueued("a"), ("task_dequeued", {"task_id": "a"}), granted("a", "normal")), False),
        (
            (enqueued("a"), ("task_reprioritised", {"task_id": "a", "priority": "low"}), granted("a", "low")),
            True,
        ),
    ],
)
def test_a_slot_goes_to_who_can_start_in_the_class_whose_turn_it_is(facts: Any, may: bool) -> None:
    assert (breaches(*facts) == []) is may
