"""The rubric: a table from measured facts to scores; what was not measured abstains, it never scores 3."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.receipt import ChangeFacts, CommandReceipt, Problem, RepoVerification
from services.stage_runner.adapters.stages.review import (
    AXES,
    design,
    maintainability,
    operability,
    performance_and_security,
    resolution_proof,
)


def receipt(purpose: str, side: Any = "change", cpu_s: float = 1.0, **values: Any) -> CommandReceipt:
    """A receipt."""
    given: dict[str, Any] = {
        "command": purpose,
        "tree": "t",
        "exit_code": 0,
        "ended": "exited",
        "peak_memory_mb": 1,
        "duration_s": 1.0,
    }
    return CommandReceipt(purpose=purpose, side=side, cpu_s=cpu_s, **{**given, **values})


def seen(*commands: CommandReceipt, facts: Any = None, **values: Any) -> list[RepoVerification]:
    """One repository's verification."""
    given: dict[str, Any] = {
        "base_tree": "1",
        "tree": "t",
        "fail_to_pass_passed": 1,
        "fail_to_pass_selected": 1,
        "base_tests": 5,
        "base_tests_held": 5,
        "problems": (),
    }
    one = RepoVerification(
        repo="r",
        base_commit="b",
        commit="c",
        environment="e",
        commands=commands,
        facts=ChangeFacts(**(facts or {})),
        **{**given, **values},
    )
    return [one]


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ({}, 4),
        ({"fail_to_pass_passed": 0}, 0),
        ({"base_tests_held": 4}, 0),
        ({"problems": (Problem(code="x", detail="y"),)}, 0),
        ({"fail_to_pass_passed": 0, "fail_to_pass_selected": 0}, 3),
        ({"fail_to_pass_passed": 0, "fail_to_pass_selected": 0, "base_tests": 0, "base_tests_held": 0}, None),
    ],
)
def test_resolution_proof(values: dict[str, Any], score: int | None) -> None:
    assert resolution_proof(seen(**values)).score == score


@pytest.mark.parametrize(
    ("delta", "score"), [(-5, 4), (10, 4), (11, 3), (30, 3), (31, 2), (80, 2), (81, 1), (None, None)]
)
def test_design(delta: int | None, score: int | None) -> None:
    assert design(seen(facts={"complexity_delta": delta})).score == score


@pytest.mark.parametrize(
    ("before", "after", "score"),
    [
        (10, 10, 3),
        # A few seconds say nothing.
        (0.5, 10.4, 3),
        (10, 19.9, 3),
        (100, 150, 4),
        (10, 50, 3),
        (10, 50.1, 2),
        (10, 100, 2),
        (10, 100.1, 1),
    ],
)
def test_performance(before: float, after: float, score: int) -> None:
    both = (receipt("test", "base", before), receipt("test", "change", after))
    assert performance_and_security(seen(*both)).score == score


def test_waiting_for_a_busy_machine_is_not_slower() -> None:
    # As seen: 30.5 s by the clock on the base, 156.6 s on the change, beside other work.
    both = (
        receipt("test", "base", 9.0, duration_s=30.5),
        receipt("test", "change", 10.2, duration_s=156.6),
    )
    assert performance_and_security(seen(*both)).score == 3


def test_an_audit_that_passed_is_worth_a_point_where_time_says_nothing() -> None:
    both = (receipt("test", "base"), receipt("test"), receipt("audit"))
    assert performance_and_security(seen(*both)).score == 4


@pytest.mark.parametrize(
    "commands",
    [
        (),
        (receipt("test"),),
        (receipt("test", "base"),),
        (receipt("test", "base"), receipt("test", ended="wall", exit_code=None)),
        (receipt("test", "base"), receipt("test", command="another")),
        (receipt("build", "base"), receipt("build")),
        (receipt("test", "base", 0.0), receipt("test")),
    ],
)
def test_time_that_was_not_measured_on_both_sides_abstains(commands: tuple[CommandReceipt, ...]) -> None:
    assert performance_and_security(seen(*commands)).score is None


def test_signs_of_evasion_score_nothing() -> None:
    found = {"evasions": (Problem(code="evasion", detail="os._exit"),)}
    scored = performance_and_security(seen(receipt("test", "base"), receipt("test"), facts=found))
    assert (scored.score, scored.fact) == (0, "os._exit")


@pytest.mark.parametrize(
    ("facts", "score"),
    [
        ({"added_lines": 150, "removed_lines": 50}, 4),
        ({"added_lines": 201}, 3),
        ({"added_lines": 800}, 3),
        ({"added_lines": 801}, 2),
        ({"added_lines": 2_001}, 1),
        ({"added_lines": 1, "placeholders": ("wide.py:1",)}, 1),
        ({}, None),
    ],
)
def test_maintainability(facts: dict[str, Any], score: int | None) -> None:
    assert maintainability(seen(facts=facts)).score == score


@pytest.mark.parametrize(
    ("commands", "facts", "score"),
    [
        ((), {}, None),
        ((), {"docs_touched": True}, None),
        ((receipt("build", "base"),), {}, None),
        ((receipt("build"),), {}, 3),
        ((receipt("build"),), {"docs_touched": True}, 4),
        ((receipt("build", exit_code=1),), {"docs_touched": True}, 0),
    ],
)
def test_operability(commands: tuple[CommandReceipt, ...], facts: dict[str, Any], score: int | None) -> None:
    assert operability(seen(*commands, facts=facts)).score == score


def test_where_nothing_was_measured_nobody_votes() -> None:
    nothing = seen(fail_to_pass_passed=0, fail_to_pass_selected=0, base_tests=0, base_tests_held=0)
    assert [axis(nothing).score for axis in AXES] == [None] * 5


def test_every_score_names_its_fact() -> None:
    assert all(axis(seen()).fact for axis in AXES)
    assert len({axis(seen()).axis for axis in AXES}) == 5


@settings(max_examples=60, deadline=None)
@given(
    added=st.integers(0, 5_000),
    delta=st.one_of(st.none(), st.integers(-50, 200)),
    held=st.integers(0, 5),
    evasion=st.booleans(),
)
def test_scores_stay_between_0_and_4_and_worse_facts_never_score_better(
    added: int, delta: int | None, held: int, evasion: bool
) -> None:
    found = (Problem(code="evasion", detail="d"),) if evasion else ()
    facts = {"added_lines": added, "complexity_delta": delta, "evasions": found}
    scores = [axis(seen(facts=facts, base_tests_held=held)).score for axis in AXES]
    assert all(score is None or 0 <= score <= 4 for score in scores)
    worse = {**facts, "added_lines": added + 500, "complexity_delta": None if delta is None else delta + 20}
    after = [axis(seen(facts=worse, base_tests_held=max(held - 1, 0))).score for axis in AXES]
    before_known = [pair for pair in zip(scores, after, strict=True) if None not in pair]
    assert all(then <= now for now, then in before_known)  # type: ignore[operator]
