"""Gates 4 and 5: a quorum counts votes that were cast, and consensus follows from them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gate import subjects
from tests.unit.gate.subjects import codes, facts, judged, scored, subject, verification


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((4, 4, 4, 4, 4), "approve"),
        ((3, 3, 3, 3, 3), "approve"),
        ((4, 4, 4, 4, 2), "reject"),
        ((0, 4, 4, 4, 4), "reject"),
        ((4, 4, 4, None, None), "approve"),
        ((4, 4, None, None, None), "abstain"),
        ((None, None, None, None, None), "abstain"),
        ((4, None, None, None, 2), "reject"),
    ],
)
def test_every_axis_votes_on_its_own_score(scores: tuple[Any, ...], verdict: str) -> None:
    decided = judged(4, subject(review=scored(*scores)))
    assert decided.verdict == verdict


def test_an_absent_reviewer_abstains_and_is_not_counted() -> None:
    """F17: a quorum counts votes, not seats."""
    decided = judged(4, subject(review=scored(4, 3, 3, None, None)))
    assert decided.consensus is not None
    assert (decided.consensus.cast, decided.consensus.needed, decided.consensus.reached) == (3, 3, True)
    assert [vote.verdict for vote in decided.votes] == ["approve"] * 3 + ["abstain"] * 2


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.one_of(st.none(), st.integers(0, 4))] * 5))
def test_no_score_below_three_and_no_missing_quorum_is_ever_approved(scores: tuple[int | None, ...]) -> None:
    decided = judged(4, subject(review=scored(*scores)))
    cast = [score for score in scores if score is not None]
    assert (decided.verdict == "approve") == (len(cast) >= 3 and min(cast) >= 3)
    assert decided.consensus is not None
    assert decided.consensus.cast == len(cast)


@pytest.mark.parametrize("gate", [4, 5])
@pytest.mark.parametrize(
    "values", [{"review": None}, {"review": scored(4, 4, 4, 4, 4, tree="9" * 40)}, {"verifications": ()}]
)
def test_no_review_of_the_measured_tree_is_a_rejection(gate: int, values: dict[str, Any]) -> None:
    decided = judged(gate, subject(**values))
    assert (decided.verdict, codes(decided)) == ("reject", {"no_evidence"})


EXPERTS = {
    "nothing they know about": (facts(), [], "approve"),
    "a public name goes unsaid": (facts(public_removed=("wide.pad",)), ["public API"], "reject"),
    "a public name goes, as documented": (
        facts(public_removed=("wide.pad",), docs_touched=True),
        ["public API"],
        "approve",
    ),
    "a dependency changes unasked": (facts(files=("requirements.txt",)), ["supply chain"], "reject"),
    "a lock deep inside": (facts(files=("web/package-lock.json",)), ["supply chain"], "reject"),
    "both": (facts(files=("go.sum",), public_removed=("x",)), ["public API", "supply chain"], "reject"),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_chosen_by_what_the_change_touches(name: str) -> None:
    measured, voters, verdict = EXPERTS[name]
    decided = judged(5, subject(verifications=(verification(facts=measured),)))
    assert [vote.voter for vote in decided.votes] == voters
    assert decided.verdict == verdict


def test_a_dependency_may_change_when_the_task_names_it() -> None:
    asked = subjects.spec(body="Raise the version in requirements.txt.")
    changed = verification(facts=facts(files=("requirements.txt",)))
    assert judged(5, subject(spec=asked, verifications=(changed,))).verdict == "approve"
