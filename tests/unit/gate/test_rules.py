"""Gates 0 to 3: one named input for every rule, each flipping the verdict."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.receipt import Problem
from contracts.task import Specification, StageInput
from libs.testing.scenario import Scenario
from services.gate.domain import adversarial, automated, plan, risk, voting
from services.gate.domain.review import RULES, VOTES, Judge, review
from tests.unit.gate import subjects
from tests.unit.gate.subjects import (
    codes,
    facts,
    judged,
    receipt,
    receipts,
    step,
    stored,
    subject,
    verification,
)

PLANS = {
    "no plan": ({"plan": None}, "no_evidence"),
    "no specification": ({"specification": None}, "no_evidence"),
    "another repository": ({"plan": subjects.plan(step(), step(repo="other"))}, "scope"),
    "the repository is left out": ({"plan": subjects.plan(step(repo="other"))}, "scope"),
    "no file": ({"plan": subjects.plan(step(files=()))}, "scope"),
    "too many files": ({"plan": subjects.plan(step(files=tuple(map(str, range(201)))))}, "scope"),
    "another base": ({"plan": subjects.plan(step(base_commit="f" * 40))}, "scope"),
    "an unknown base": ({"specification": Specification(acceptance=(), risk="low")}, "scope"),
    "no command": ({"plan": subjects.plan(step(verification=()))}, "no_verification"),
    "acceptance left out": ({"plan": subjects.plan(step(verification=("true",)))}, "no_verification"),
    "no way back": ({"plan": subjects.plan(step(rollback=""))}, "no_rollback"),
}


def bent(**values: Any) -> dict[str, Any]:
    """A subject whose verification has other facts."""
    return {"verifications": (verification(**values),)}


def ran(**changed: Any) -> dict[str, Any]:
    """A subject in which some receipts are others, or missing."""
    named = {name.replace("_", " "): values for name, values in changed.items()}
    kept = {name: one for name, one in receipts().items() if named.get(name, one) is not None}
    seen = [msgspec.structs.replace(one, **named.get(name, {})) for name, one in kept.items()]
    return bent(commands=tuple(seen))


RECEIPTS = {
    "no receipt": ({"verifications": ()}, "no_evidence"),
    "no change": ({"changes": ()}, "no_evidence"),
    "a problem": (bent(problems=(Problem(code="test_missing", detail="d"),)), "test_missing"),
    "another tree": (bent(tree="9" * 40), "stale_receipt"),
    "another commit": (bent(commit="9" * 40), "stale_receipt"),
    "another base": (bent(base_commit="9" * 40), "stale_receipt"),
    "a command on another tree": (ran(test={"tree": "9" * 40}), "stale_receipt"),
    "a command of the base on another tree": (ran(fix_on_base={"tree": subjects.TREE}), "stale_receipt"),
    "nothing changed": (bent(base_tree=subjects.TREE), "empty_change"),
    "no build": (ran(build=None), "no_evidence"),
    "no test": (ran(test=None), "no_evidence"),
    "no audit": (ran(audit=None), "no_evidence"),
    "the build fails": (ran(build={"exit_code": 1}), "command_failed"),
    "the audit fails": (ran(audit={"exit_code": 2}), "command_failed"),
    "the build hangs": (ran(build={"exit_code": None, "ended": "wall"}), "command_failed"),
    "the tests eat all memory": (ran(test={"exit_code": None, "ended": "memory"}), "command_failed"),
    "no acceptance": (ran(fix=None), "no_evidence"),
    "acceptance without a test": (ran(fix={"passed": 0}), "no_evidence"),
    "acceptance fails": (ran(fix={"exit_code": 1}), "no_evidence"),
    "acceptance was killed": (ran(fix={"exit_code": None, "ended": "wall"}), "no_evidence"),
    "no run on the base": (ran(fix_on_base=None), "not_failing_on_base"),
    "it passes on the base": (ran(fix_on_base={"exit_code": 0}), "not_failing_on_base"),
    "a command of the base only": (
        bent(commands=(receipt("test", "pytest", "base", passed=3),)),
        "no_evidence",
    ),
    "no test was seen passing": (ran(test={"passed": 0}, fix={"passed": 0}), "no_evidence"),
    "a test of the base is gone": (bent(base_tests_held=2), "test_not_passing"),
    "a selected test fails": (bent(fail_to_pass_selected=2), "test_not_passing"),
}
RISKS = {
    "nothing measured": ({"verifications": ()}, "no_evidence"),
    "no file": (bent(facts=facts(files=())), "no_evidence"),
    "too many lines": (bent(facts=facts(added_lines=1_999, removed_lines=2)), "too_large"),
    "too many files": (bent(facts=facts(files=tuple(map(str, range(61))))), "too_wide"),
    "too complicated": (bent(facts=facts(complexity_delta=81)), "too_complex"),
}
PRETENCES = {
    "nothing measured": ({"verifications": ()}, "no_evidence"),
    "it edits its judge": (bent(facts=facts(protected_touched=("conftest.py",))), "test_integrity"),
    "it reaches for the runner": (
        bent(facts=facts(evasions=(Problem(code="evasion", detail="d"),))),
        "evasion",
    ),
    "a placeholder": (bent(facts=facts(placeholders=("wide.py:3",))), "superficial"),
    "a file nobody planned": (bent(facts=facts(files=("wide.py", "other.py"))), "out_of_plan"),
    "no plan at all": ({"plan": None}, "out_of_plan"),
    "no diff": (bent(diff=None), "evidence_invalid"),
    "a diff that is none": (bent(diff=stored("short")), "evidence_invalid"),
    "a command without output": (ran(test={"output": None}), "evidence_invalid"),
}
TABLES: tuple[dict[str, tuple[dict[str, Any], str]], ...] = (PLANS, RECEIPTS, RISKS, PRETENCES)  # type: ignore[assignment]
CASES = [
    pytest.param(gate, values, code, id=f"gate {gate}: {name}")
    for gate, table in enumerate(TABLES)
    for name, (values, code) in table.items()
]


@pytest.mark.parametrize("gate", range(6))
def test_a_sound_subject_is_approved(gate: int) -> None:
    decided = judged(gate, subject())
    assert (decided.verdict, decided.findings) == ("approve", ())
    assert decided.trees == ({} if gate == 0 else {"r": subjects.TREE})


@pytest.mark.parametrize(("gate", "values", "code"), CASES)
def test_one_fact_flips_the_verdict(gate: int, values: dict[str, Any], code: str) -> None:
    decided = judged(gate, subject(**values))
    assert decided.verdict == "reject"
    assert code in codes(decided)


def planned_within(*scope: str) -> dict[str, Any]:
    plan = subject().plan
    assert plan is not None
    step = msgspec.structs.replace(plan.repos[0], files=(), scope=scope)
    return {"plan": msgspec.structs.replace(plan, repos=(step,))}


@pytest.mark.parametrize(
    ("scope", "approved"), [(("*.py",), True), (("wide.py",), True), (("src/", "*.md"), False)]
)
def test_a_change_stays_within_the_scope_of_a_plan_that_names_no_files(
    scope: tuple[str, ...], approved: bool
) -> None:
    given_subject = subject(**planned_within(*scope))
    assert judged(0, given_subject).verdict == "approve"
    assert codes(judged(3, given_subject)) == (set() if approved else {"out_of_plan"})


@pytest.mark.parametrize(
    "values",
    [
        bent(facts=facts(added_lines=1_500, removed_lines=500)),
        bent(facts=facts(complexity_delta=None)),
        bent(facts=facts(complexity_delta=80)),
    ],
    ids=["as large as may be", "complexity unknown", "as complicated as may be"],
)
def test_the_bounds_of_risk_are_inclusive(values: dict[str, Any]) -> None:
    assert judged(2, subject(**values)).verdict == "approve"


def test_a_test_command_may_fail_over_known_failures_that_the_verifier_accepts() -> None:
    assert judged(1, subject(**ran(test={"exit_code": 1, "failed": 1}))).verdict == "approve"


@pytest.mark.parametrize("gate", range(6))
def test_no_evidence_is_a_rejection(gate: int) -> None:
    """F4: whatever is missing, nothing is let through for want of something to look at."""
    decided = judged(gate, StageInput(spec=subjects.spec()))
    assert decided.verdict == "reject"
    assert "no_evidence" in codes(decided)


@pytest.mark.parametrize("gate", range(6))
def test_a_gate_that_fails_to_run_is_a_rejection(gate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: StageInput) -> Any:
        raise RuntimeError("no luck")

    monkeypatch.setitem(RULES if gate in RULES else VOTES, gate, broken)
    decided = judged(gate, subject())
    assert decided.verdict == "error"
    assert codes(decided) == {"gate_failed"}


def test_a_gate_that_does_not_exist_is_a_rejection() -> None:
    assert judged(6, subject()).verdict == "error"


def test_a_question_is_answered_once() -> None:
    question = Judge(request=subjects.asked(1, subject()))
    made = Scenario(review).when(question, question)
    assert len(made.events) == 1


def test_every_gate_has_a_rule_or_voters() -> None:
    assert set(RULES) | set(VOTES) == set(range(6))
    assert {0: plan.judge, 1: automated.judge, 2: risk.judge, 3: adversarial.judge} == RULES
    assert {4: voting.peers, 5: voting.experts} == VOTES


WORDS = ["token", "login", "password reset", "skip", "exit", "authentication", "TODO list", "conftest"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("gate", range(6))
def test_harmless_words_pass(gate: int, word: str) -> None:
    """F27: a task that speaks of tokens or logins is judged by what it does."""
    about = subjects.spec(title=f"Fix the {word}", body=f"The {word} page mentions a {word}.")
    touched = (f"{word.split()[0]}.py",)
    values = bent(facts=facts(files=touched))
    planned = subjects.plan(step(files=touched))
    assert judged(gate, subject(spec=about, plan=planned, **values)).verdict == "approve"


def test_simulated_work_has_nothing_to_judge() -> None:
    noop = msgspec.structs.replace(subjects.spec(), engine="noop", synthetic=True, patch=None)
    assert judged(1, StageInput(spec=noop)).verdict == "approve"


def test_a_synthetic_task_of_another_engine_is_judged_like_any() -> None:
    synthetic = msgspec.structs.replace(subjects.spec(), synthetic=True)
    assert judged(1, StageInput(spec=synthetic)).verdict == "reject"


problems = st.builds(
    Problem, code=st.sampled_from(["test_missing", "evasion", "x"]), detail=st.text(max_size=5)
)


@settings(max_examples=60, deadline=None)
@given(
    found=st.lists(problems, max_size=2),
    missing=st.sets(st.sampled_from(sorted(receipts()))),
    held=st.integers(0, 3),
)
def test_gate_1_never_approves_what_has_a_problem_or_lacks_a_receipt(
    found: list[Problem], missing: set[str], held: int
) -> None:
    seen = tuple(one for name, one in receipts().items() if name not in missing)
    decided = judged(1, subject(**bent(problems=tuple(found), commands=seen, base_tests_held=held)))
    assert (decided.verdict == "approve") == (not found and not missing and held == 3)
