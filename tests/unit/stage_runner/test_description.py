"""What a pull request says about itself: only what was measured, and that a machine made it."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.receipt import ChangeFacts, CommandReceipt, EvidenceRef, RepoVerification
from contracts.task import (
    AxisScore,
    BaseRef,
    Plan,
    PlannedRepo,
    RepoChange,
    ReviewReport,
    StageInput,
    TaskSpec,
)
from services.stage_runner.adapters.stages.description import body_for, evidence_for

TREE = "2" * 40
CHANGE = RepoChange(repo="r", base_commit="b", commit="c", tree=TREE, files=("a.py",))
SPEC = msgspec.convert(
    {"title": "Fix it", "body": "It is wrong.", "repos": [{"name": "r", "url": "u"}]}, TaskSpec
)


def ref(name: str) -> EvidenceRef:
    """A reference to evidence."""
    return EvidenceRef(digest=name[0] * 64, name=name)


def receipt(command: str, **values: Any) -> CommandReceipt:
    """A receipt."""
    given: dict[str, Any] = {
        "purpose": "test",
        "side": "change",
        "tree": TREE,
        "exit_code": 0,
        "ended": "exited",
    }
    return CommandReceipt(command=command, duration_s=1.25, peak_memory_mb=1, **{**given, **values})


def given(*commands: CommandReceipt, **values: Any) -> StageInput:
    """What the stage `pr` gets."""
    seen = RepoVerification(
        repo="r",
        base_commit="b",
        base_tree="1",
        commit="c",
        tree=TREE,
        environment="e",
        commands=commands,
        fail_to_pass_passed=2,
        fail_to_pass_selected=2,
        base_tests=7,
        base_tests_held=7,
        facts=ChangeFacts(),
        problems=(),
        diff=ref("change.diff"),
    )
    return StageInput(**{"spec": SPEC, "verifications": (seen,), **values})


def body(known: StageInput) -> str:
    """The body of the only repository's pull request."""
    return body_for(known, "t1", known.spec.repos[0], CHANGE)


def test_it_names_the_tree_the_receipts_and_the_task() -> None:
    text = body(
        given(receipt("pytest -q", passed=7), receipt("make", purpose="build", exit_code=None, ended="wall"))
    )
    assert text.startswith("It is wrong.\n")
    assert f"Measured on tree `{TREE}`" in text
    assert "| change | test | `pytest -q` | 0 | 7 | 0 | 0 | 1.2 |" in text
    assert "| change | build | `make` | wall |" in text
    assert "2 of 2 selected tests pass that failed before; 7 of 7 tests of the base hold." in text
    assert f"Autopilot-Task: t1\nAutopilot-Tree: {TREE}\n" in text
    assert "Made by Autopilot without a person" in text


def test_no_command_breaks_out_of_its_row() -> None:
    text = body(given(receipt("a | b\nc")))
    (row,) = [line for line in text.splitlines() if line.startswith("| change")]
    assert "`a \\| b c`" in row


def test_what_the_engine_and_the_verifier_find_doubtful_is_to_be_looked_at() -> None:
    known = given()
    (seen,) = known.verifications
    facts = ChangeFacts(special_cases=("a.py:3: 37",))
    known = msgspec.structs.replace(known, verifications=(msgspec.structs.replace(seen, facts=facts),))
    change = msgspec.structs.replace(CHANGE, remarks=("made by a program",))
    text = body_for(known, "t1", known.spec.repos[0], change)
    assert "## To be looked at\n\n- made by a program\n- the change holds constants of the tests" in text
    assert "`a.py:3: 37`" in text
    assert "To be looked at" not in body(given())


def test_a_draft_says_that_nobody_reviewed_it() -> None:
    assert "**Not reviewed**" in body(given(draft=True))
    assert "Not reviewed" not in body(given())


def test_a_stacked_change_names_what_it_builds_on() -> None:
    base = BaseRef(repo_url="u", task_id="t0", commit="c", branch="autopilot/t0", pull_request="pull/3")
    other = BaseRef(repo_url="elsewhere", task_id="t9", commit="c", branch="autopilot/t9")
    text = body(given(bases=(base, other)))
    assert "Builds on `autopilot/t0` (pull/3); merge that first." in text
    assert "t9" not in text


def test_scores_abstentions_approvals_and_the_way_back_are_quoted() -> None:
    scores = (
        AxisScore(axis="design", score=4, fact="small"),
        AxisScore(axis="operability", score=None, fact="no build"),
    )
    step = PlannedRepo(repo="r", base_commit="b", files=("a.py",), verification=("x",), rollback="revert it")
    text = body(
        given(
            review=ReviewReport(scores=scores, tree=TREE),
            approvals=("gate 1: approve", "gate 2: approve"),
            plan=Plan(approach="a", repos=(step,), risk="low", digest="d"),
        )
    )
    assert "- design: 4 (small)\n- operability: abstains (no build)" in text
    assert "Approved by gate 1: approve, gate 2: approve." in text
    assert "Rollback: revert it" in text


def test_a_task_without_words_is_described_by_its_title() -> None:
    silent = msgspec.structs.replace(SPEC, body="  ")
    assert body(given(spec=silent)).startswith("Fix it\n")


def test_evidence_is_listed_by_digest_in_the_order_in_which_it_is_read() -> None:
    known = given(receipt("x", output=ref("log"), report=ref("results")), receipt("y"))
    assert evidence_for(known, SPEC.repos[0]) == (
        f"change.diff sha256:{'c' * 64}",
        f"log sha256:{'l' * 64}",
        f"results sha256:{'r' * 64}",
    )
