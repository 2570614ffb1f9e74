"""What the script of an incident compares, and what it leaves to the verifier and the gates."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from contracts.receipt import CommandReceipt, Problem
from contracts.resolution import IncidentOpened
from contracts.task import Budget, RepoChange, RepoSpec
from services.resolution.adapters.expectation import Check, Kind, expect
from services.resolution.adapters.readme import sentence
from services.resolution.adapters.script import Repository, script
from services.resolution.adapters.trial import patience

TEST, FIX = "pytest -q", "pytest -q test_wide.py"
CHANGE = RepoChange(repo="r", base_commit="b", commit="c", tree="t", files=("a.py", "tests/test_a.py"))


def receipt(command: str = TEST, **values: Any) -> CommandReceipt:
    """A receipt of a command that failed on the change."""
    given: dict[str, Any] = {"purpose": "test", "side": "change", "exit_code": 1, "ended": "exited"}
    return CommandReceipt(
        command=command, tree="t", peak_memory_mb=1, **{"duration_s": 1.0, **given, **values}
    )


def incident(*receipts: CommandReceipt, codes: tuple[str, ...] = (), **values: Any) -> IncidentOpened:
    """An incident about one repository."""
    repo = msgspec.convert({"name": "r", "url": "u", "fail_to_pass": [FIX]}, RepoSpec)
    given: dict[str, Any] = {
        "stage": "verify",
        "label": "gate_refused",
        "findings": tuple(Problem(code=code, detail=f"{code} of a.py.") for code in codes),
        "repos": (repo,),
        "bases": {"r": "b"},
        "changes": (CHANGE,),
        "commands": (),
        "evidence": (),
        "receipts": tuple(("r", one) for one in receipts),
    }
    return IncidentOpened(incident_id="t1-1", task_id="t1", title="t", reason="why", **{**given, **values})


def kinds(opened: IncidentOpened) -> list[tuple[str, str, str]]:
    return [(check.kind, check.side, check.about) for check in expect(opened).checks]


@pytest.mark.parametrize(
    ("values", "kind", "side"),
    [
        ({"exit_code": 1}, "exits", "change"),
        ({"exit_code": None, "ended": "wall"}, "hangs", "change"),
        ({"exit_code": None, "ended": "memory"}, "swells", "change"),
        ({"purpose": "setup", "exit_code": 7}, "set_up_exits", "change"),
        ({"purpose": "setup", "exit_code": 7, "side": "base"}, "set_up_exits", "base"),
        ({"purpose": "build", "exit_code": 3}, "exits", "change"),
        ({"purpose": "fail_to_pass", "exit_code": 0, "side": "base"}, "exits", "base"),
    ],
)
def test_how_a_command_ended_is_what_is_compared(values: dict[str, Any], kind: str, side: str) -> None:
    opened = incident(receipt(**values), codes=("command_failed",))
    assert kinds(opened) == [(kind, side, TEST)]
    assert expect(opened).heavy
    assert expect(opened).unseen == ()


def test_a_storm_of_processes_is_not_started_again() -> None:
    opened = incident(receipt(exit_code=None, ended="processes"), codes=("limit_reached",))
    assert not expect(opened).heavy
    assert [found.code for found in expect(opened).unseen] == ["limit_reached"]


@pytest.mark.parametrize(
    "code", ["test_integrity", "protected_changed", "evasion", "superficial", "out_of_plan"]
)
def test_a_finding_that_only_a_judge_sees_is_named_and_the_file_it_names_is_looked_at(code: str) -> None:
    opened = incident(codes=(code,))
    assert kinds(opened) == [("touches", "change", "a.py"), ("judged", "change", "t")]
    assert [found.code for found in expect(opened).unseen] == [code]
    assert not expect(opened).heavy


def test_a_file_is_looked_at_only_where_the_finding_names_exactly_it() -> None:
    opened = msgspec.structs.replace(
        incident(), findings=(Problem(code="evasion", detail="tests/test_a.py2 and xa.py use os._exit"),)
    )
    assert [kind for kind, _, _ in kinds(opened)] == ["judged"]


@pytest.mark.parametrize(
    ("label", "reason", "kind"),
    [
        ("patch_does_not_apply", "error: patch failed", "does_not_apply"),
        ("patch_does_not_apply", "it adds a submodule, which is not supported", "adds_submodule"),
        ("patch_malformed", "corrupt", "unreadable"),
        ("empty_change", "nothing", "changes_nothing"),
    ],
)
def test_a_patch_that_never_became_a_commit_is_refused_again(label: str, reason: str, kind: str) -> None:
    opened = msgspec.structs.replace(incident(label=label, patch="x", changes=()), reason=reason)
    assert kinds(opened) == [(kind, "change", "")]
    assert not expect(opened).heavy


@pytest.mark.parametrize("label", ["no_repair_found", "agent_failed", "gate_refused", "infinite_loop"])
def test_where_nothing_was_made_the_task_still_asks_for_what_it_asked(label: str) -> None:
    opened = incident(label=label, engine="repair", changes=(), codes=("suspicious_place",))
    assert kinds(opened) == [("fails", "base", FIX)]
    assert [found.code for found in expect(opened).unseen] == [label, "suspicious_place"]


def test_a_set_up_that_fails_before_anything_is_made_is_run_again() -> None:
    repo = msgspec.convert({"name": "r", "url": "u", "setup": "exit 5", "fail_to_pass": [FIX]}, RepoSpec)
    opened = incident(label="setup_failed", engine="command", changes=(), repos=(repo,))
    assert kinds(opened) == [("fails", "base", "exit 5")]
    assert expect(opened).unseen == ()
    text = script(opened, expect(opened), (Repository(spec=repo, base="b" * 40, tree="t"),))
    assert "\nset_up 'exit 5'" not in text
    assert "\nfails 'exit 5'" in text


def test_a_failed_smoke_command_is_run_on_the_change() -> None:
    repo = msgspec.convert({"name": "r", "url": "u", "monitor": {"smoke": "test -e x"}}, RepoSpec)
    opened = incident(stage="monitor", label="smoke_failed", repos=(repo,))
    assert kinds(opened) == [("fails", "change", "test -e x")]


@pytest.mark.parametrize("label", ["base_not_found", "repository_unusable"])
def test_what_could_not_be_read_is_read_again(label: str) -> None:
    assert kinds(incident(stage="spec", label=label, bases={}, changes=())) == [
        ("source_unreadable", "change", label)
    ]


@pytest.mark.parametrize("kind", ["transient", "environmental"])
def test_a_failure_outside_of_the_repository_cannot_be_tried(kind: Any) -> None:
    expectation = expect(incident(receipt(), label="forge_failed", kind=kind))
    assert expectation.checks == ()
    assert "outside" in expectation.nothing


def test_without_anything_to_compare_it_says_so() -> None:
    repo = msgspec.convert({"name": "r", "url": "u"}, RepoSpec)
    expectation = expect(incident(label="gate_refused", repos=(repo,), changes=()))
    assert "no command" in expectation.nothing


def test_only_the_repository_concerned_is_refused_again() -> None:
    repos = tuple(msgspec.convert({"name": name, "url": "u"}, RepoSpec) for name in ("r", "s"))
    opened = incident(
        label="patch_does_not_apply", repo="s", repos=repos, changes=(), patch={"r": "x", "s": "y"}
    )
    assert [check.repo for check in expect(opened).checks] == ["s"]


def test_every_kind_of_comparison_has_its_function_and_its_sentence() -> None:
    opened = incident(receipt(), codes=("command_failed",))
    functions = script(opened, expect(opened), (Repository(spec=opened.repos[0], base="b" * 40, tree="t"),))
    for kind in get_args(Kind):
        assert f"\n{kind}() {{" in functions
        assert sentence(Check(repo="r", kind=kind, about="x", exit_code=1))


@pytest.mark.parametrize(
    ("receipts", "wall_s", "seconds"),
    [
        ((), 900, 60),
        ((receipt(duration_s=100.0),), 900, 300),
        ((receipt(duration_s=0.5),), 900, 60),
        ((receipt(duration_s=5_000.0),), 9_000, 900),
        ((receipt(exit_code=None, ended="wall", duration_s=200.0),), 200, 200),
        ((receipt(exit_code=None, ended="wall", duration_s=900.0),), 900, 60),
    ],
)
def test_a_trial_waits_by_what_the_commands_took_and_never_for_long(
    receipts: tuple[CommandReceipt, ...], wall_s: int, seconds: int
) -> None:
    assert patience(incident(*receipts, budget=Budget(wall_s=wall_s))) == seconds
