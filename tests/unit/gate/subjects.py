"""What gates are asked about: one sound subject, and ways to bend one fact of it."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.gate import GateDecided
from contracts.receipt import ChangeFacts, CommandReceipt, EvidenceRef, RepoVerification
from contracts.task import (
    AxisScore,
    GateRequested,
    Plan,
    PlannedRepo,
    RepoChange,
    ReviewReport,
    Specification,
    StageInput,
    TaskSpec,
)
from libs.testing.scenario import Scenario
from services.gate.domain.review import Judge, review

BASE, COMMIT, BASE_TREE, TREE = "b" * 40, "c" * 40, "1" * 40, "2" * 40
TEST, FIX, BUILD, AUDIT = "pytest", "pytest tests/test_wide.py", "make", "make audit"
AXES = ("resolution proof", "design", "performance and security", "maintainability", "operability")


def spec(**values: Any) -> TaskSpec:
    """A task on one repository."""
    repo = {
        "name": "r",
        "url": "u",
        "fail_to_pass": [FIX],
        "verify": {"build": BUILD, "test": TEST, "audit": AUDIT},
    }
    return msgspec.convert(
        {"title": "t", "engine": "patch", "patch": "diff", "repos": [repo], **values}, TaskSpec
    )


def step(**values: Any) -> PlannedRepo:
    """The plan for repository r."""
    given: dict[str, Any] = {
        "repo": "r",
        "base_commit": BASE,
        "files": ("wide.py",),
        "verification": (FIX, BUILD, TEST, AUDIT),
        "rollback": "revert it",
    }
    return PlannedRepo(**{**given, **values})


def plan(*steps: PlannedRepo) -> Plan:
    """A plan of some steps."""
    return Plan(approach="a", repos=steps or (step(),), risk="low", digest="d")


def receipt(purpose: str, command: str, side: Any = "change", **values: Any) -> CommandReceipt:
    """A receipt on the tree of its side."""
    given: dict[str, Any] = {
        "purpose": purpose,
        "command": command,
        "side": side,
        "tree": TREE if side == "change" else BASE_TREE,
        "exit_code": 0,
        "ended": "exited",
        "duration_s": 1.0,
        "peak_memory_mb": 1.0,
        "output": stored(),
    }
    return CommandReceipt(**{**given, **values})


def receipts() -> dict[str, CommandReceipt]:
    """Every receipt that the task's commands call for, by a name."""
    return {
        "build": receipt("build", BUILD),
        "test": receipt("test", TEST, passed=3, collected=3),
        "audit": receipt("audit", AUDIT),
        "fix": receipt("fail_to_pass", FIX, passed=1, collected=1),
        "fix on base": receipt("fail_to_pass", FIX, "base", exit_code=1, failed=1, collected=1),
    }


def stored(digest: str = "e" * 64) -> EvidenceRef:
    """A reference to evidence."""
    return EvidenceRef(digest=digest, name="log")


def facts(**values: Any) -> ChangeFacts:
    """What was measured of a small change."""
    return ChangeFacts(**{"files": ("wide.py",), "added_lines": 5, "complexity_delta": 1, **values})


def verification(**values: Any) -> RepoVerification:
    """An accepted verification of TREE."""
    given: dict[str, Any] = {
        "repo": "r",
        "base_commit": BASE,
        "base_tree": BASE_TREE,
        "commit": COMMIT,
        "tree": TREE,
        "environment": "e",
        "commands": tuple(receipts().values()),
        "fail_to_pass_passed": 1,
        "fail_to_pass_selected": 1,
        "base_tests": 3,
        "base_tests_held": 3,
        "facts": facts(),
        "problems": (),
        "diff": stored(),
    }
    return RepoVerification(**{**given, **values})


def scored(*scores: int | None, tree: str = TREE) -> ReviewReport:
    """A review with a score for each axis."""
    axes = tuple(
        AxisScore(axis=axis, score=score, fact="a fact") for axis, score in zip(AXES, scores, strict=True)
    )
    return ReviewReport(scores=axes, tree=tree)


def subject(**values: Any) -> StageInput:
    """What every gate approves."""
    given: dict[str, Any] = {
        "spec": spec(),
        "specification": Specification(acceptance=(("r", FIX),), risk="low", bases={"r": BASE}),
        "plan": plan(),
        "changes": (RepoChange(repo="r", base_commit=BASE, commit=COMMIT, tree=TREE, files=("wide.py",)),),
        "verifications": (verification(),),
        "review": scored(4, 4, 3, 4, None),
    }
    return StageInput(**{**given, **values})


def asked(gate: int, given: StageInput) -> GateRequested:
    """The question."""
    return GateRequested(
        task_id="t1", review_id=f"t1-{gate}-1", gate=gate, round=1, stage="verify", subject=given
    )


def judged(gate: int, given: StageInput) -> GateDecided:
    """Ask a gate and return its answer."""
    (decided,) = Scenario(review).when(Judge(request=asked(gate, given))).events
    assert isinstance(decided, GateDecided)
    return decided


def codes(decided: GateDecided) -> set[str]:
    """The codes of what was found."""
    return {found.code for found in decided.findings}
