"""The checks of who runs bite: each history that breaks a promise is named, and the one beside it that keeps it is not."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from libs.testing import scheduling
from tests.unit.testing.histories import enqueued, granted, released, submitted, told


def mode(name: str) -> Any:
    return ("mode_changed", {"mode": name})


def parked(task_id: str, code: str, **fields: str) -> Any:
    said = {"reason": "r", "owner": "o", "wake_up": "w", **fields}
    return ("task_parked", {"task_id": task_id, "code": code, **said})


def ended(task_id: str, how: str = "task_done") -> Any:
    return (how, {"task_id": task_id})


def named(found: Iterable[str], words: str) -> None:
    """Expect exactly the breach of these words, or none."""
    breaches = list(found)
    assert (len(breaches) == 1 and words in breaches[0]) if words else breaches == [], breaches


LOWERED = ("limit_changed", {"max_concurrent": 1})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((granted("a"), granted("b"), LOWERED, released("a"), released("b"), granted("a")), ""),
        ((granted("a"), granted("b"), LOWERED, released("a"), granted("a")), "2 tasks hold slots"),
        ((granted("a"), granted("a")), "a got a second slot"),
        ((released("a"),), "that it did not have"),
    ],
)
def test_a_lowered_limit_throws_nobody_out_and_stops_new_grants(facts: Any, words: str) -> None:
    named(scheduling.slots_within_limit(told(*facts)), words)


HELD, LET = (("admission_held", {"cause": "drain"}), ("admission_released", {"cause": "drain"}))
PAUSED, RESUMED = (("queue_paused", {"queue": "red"}), ("queue_resumed", {"queue": "red"}))
RED = enqueued("a", queue="red")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((RED, mode("read-only"), mode("normal"), granted("a")), ""),
        ((RED, mode("minimal"), granted("a")), ""),
        ((RED, mode("read-only"), granted("a")), "though mode is read-only"),
        ((RED, mode("emergency-stop"), granted("a")), "though mode is emergency-stop"),
        ((RED, HELD, LET, granted("a")), ""),
        ((RED, HELD, granted("a")), "though admission is held by drain"),
        ((RED, PAUSED, RESUMED, granted("a")), ""),
        ((RED, enqueued("b"), PAUSED, granted("b")), ""),
        ((RED, PAUSED, granted("a")), "though its queue is paused"),
        ((mode("read-only"), ("stage_requested", {"run_id": "a-plan-1"})), ""),
        ((mode("emergency-stop"), ("stage_requested", {"run_id": "a-plan-1"})), "after an emergency stop"),
    ],
)
def test_what_starts_though_it_may_not_is_named(facts: Any, words: str) -> None:
    named(scheduling.nothing_starts_unallowed(told(*facts)), words)


PULL = SimpleNamespace(repo_url="u", commit="c")
OPENED = ("stage_completed", {"task_id": "x", "output": SimpleNamespace(pull_requests=(PULL,))})
BASE = SimpleNamespace(task_id="x", repo_url="u", commit="c")


def admitted(*bases: Any) -> Any:
    return ("task_admitted", {"task_id": "a", "bases": bases})


WATCHED = ("monitor_wait_started", {"task_id": "x"})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((WATCHED, admitted()), ""),
        ((ended("x"), admitted()), ""),
        ((admitted(),), "before x is done"),
        ((ended("x", "task_given_up"), admitted()), "before x is done"),
        ((WATCHED, ended("x", "task_cancelled"), admitted()), "before x is done"),
        ((OPENED, WATCHED, admitted(BASE)), ""),
        ((OPENED, WATCHED, admitted()), "on a tree without x"),
    ],
)
def test_a_dependent_that_did_not_wait_is_named(facts: Any, words: str) -> None:
    named(scheduling.dependents_wait(told(submitted("x"), submitted("a", "x"), *facts)), words)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((ended("a"),), ""),
        ((granted("a"), ended("a")), "holds a slot at rest"),
        ((enqueued("a"),), "is forgotten after task_submitted"),
        ((enqueued("a"), mode("read-only")), ""),
        ((RED, PAUSED), ""),
        ((RED, PAUSED, RESUMED), "is forgotten after task_submitted"),
        ((parked("a", "no_quorum"),), ""),
        ((parked("a", "no_quorum", owner=""),), "without a reason, an owner or a wake-up"),
        ((parked("a", "no_quorum"), ("task_priority_changed", {"task_id": "a"})), ""),
        ((mode("emergency-stop"), parked("a", "emergency_stop")), ""),
        ((mode("emergency-stop"), parked("a", "emergency_stop"), mode("normal")), "which is over"),
        ((mode("minimal"), parked("a", "mode")), ""),
        ((mode("minimal"), parked("a", "mode"), mode("normal")), "which is over"),
        ((parked("a", "dependency_broken"),), "which is over"),
    ],
)
def test_at_rest_who_waits_for_nothing_is_named(facts: Any, words: str) -> None:
    named(scheduling.nothing_is_forgotten(told(submitted("a"), *facts)), words)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((parked("b", "no_quorum"),), ""),
        ((ended("b", "task_given_up"),), "will never be there"),
        ((ended("b", "task_given_up"), parked("a", "dependency_broken")), ""),
        ((ended("b"),), "a is forgotten"),
    ],
)
def test_at_rest_a_dependent_waits_only_for_what_may_still_come(facts: Any, words: str) -> None:
    history = told(submitted("b"), submitted("a", "b"), enqueued("a", "normal", "b"), *facts)
    named(scheduling.nothing_is_forgotten(history), words)


def claimed(task_id: str, *paths: str, base: str = "main") -> Any:
    files = (SimpleNamespace(repo_url="u", base=base, paths=paths),)
    return ("files_claimed", {"task_id": task_id, "files": files})


def let_go(task_id: str) -> Any:
    return ("files_released", {"task_id": task_id})


def implements(task_id: str) -> tuple[Any, Any]:
    plan = SimpleNamespace(repos=(SimpleNamespace(files=("x",)),))
    given = SimpleNamespace(spec=SimpleNamespace(engine="patch"), plan=plan)
    run = {"task_id": task_id, "run_id": f"{task_id}-implement-1", "stage": "implement"}
    return ("stage_requested", {**run, "input": given}), ("stage_started", run)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((claimed("a", "x"), *implements("a"), let_go("a"), claimed("b", "x")), ""),
        ((claimed("a", "x"), claimed("b", "y"), claimed("c", "x", base="other")), ""),
        ((claimed("a", "x", "y"), claimed("b", "y")), "b and a hold the same files"),
        (implements("a"), "without holding the files"),
        ((claimed("a", "x"), let_go("a"), *implements("a")), "without holding the files"),
        ((claimed("a", "x"), ended("a", "task_cancelled")), "a has ended and still holds files"),
        ((claimed("a", "x"), ended("a"), let_go("a")), ""),
    ],
)
def test_files_that_two_change_at_once_are_named(facts: Any, words: str) -> None:
    named(scheduling.files_go_from_hand_to_hand(told(*facts)), words)
