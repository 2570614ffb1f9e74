"""What an incident carries, and the texts that a person gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.receipt import ChangeFacts, CommandReceipt, EvidenceRef, Problem, RepoVerification
from contracts.resolution import IncidentFiled, IncidentOpened
from contracts.task import Failure, RepoChange, ResolutionAwaited, Specification, StageInput, TaskSpec
from libs.testing.scenario import Scenario
from services.resolution.adapters.script import readme, script
from services.resolution.domain import FileIncident, OpenIncident, failed_commands, incident

TEST, FIX = "pytest -q", "pytest -q test_wide.py"
DIFF = EvidenceRef(digest="d" * 64, name="change.diff")


def task(**values: Any) -> TaskSpec:
    """The task that was given up."""
    repo = {"name": "r", "url": "u", "fail_to_pass": [FIX], "verify": {"test": TEST}, **values}
    return msgspec.convert({"title": "t", "engine": "patch", "patch": "the patch", "repos": [repo]}, TaskSpec)


def receipt(command: str, **values: Any) -> CommandReceipt:
    """A receipt of the change."""
    given: dict[str, Any] = {
        "purpose": "test",
        "side": "change",
        "tree": "t",
        "exit_code": 0,
        "ended": "exited",
    }
    return CommandReceipt(command=command, duration_s=1, peak_memory_mb=1, **{**given, **values})


def verification(*receipts: CommandReceipt, **facts: Any) -> RepoVerification:
    """What the verifier found."""
    return RepoVerification(
        repo="r",
        base_commit="b",
        base_tree="1",
        commit="c",
        tree="t",
        environment="e",
        commands=receipts,
        fail_to_pass_passed=0,
        fail_to_pass_selected=1,
        base_tests=1,
        base_tests_held=1,
        facts=ChangeFacts(**facts),
        problems=(Problem(code="test_not_passing", detail="it fails"),),
        diff=DIFF,
    )


def given_up(**values: Any) -> ResolutionAwaited:
    """A verify that failed."""
    subject = StageInput(
        spec=task(),
        specification=Specification(acceptance=(), risk="low", bases={"r": "b"}),
        changes=(RepoChange(repo="r", base_commit="b", commit="c", tree="t", files=("a.py",)),),
        verifications=(
            verification(receipt(TEST), receipt(FIX, exit_code=1), protected_touched=("test_wide.py",)),
        ),
    )
    found = (Problem(code="test_not_passing", detail="it fails"),)
    failure = Failure(kind="persistent", code="gate_refused", detail="refused", findings=found)
    given: dict[str, Any] = {"subject": subject, "failure": failure}
    return ResolutionAwaited(task_id="t1", stage="verify", cause="x", **{**given, **values})


def opened(**values: Any) -> IncidentOpened:
    """The incident of `given_up`."""
    command = OpenIncident(incident_id="t1-1", awaited=given_up(), reason="why")
    (event,) = Scenario(incident).when(command).events
    assert isinstance(event, IncidentOpened)
    return msgspec.structs.replace(event, **values)


def test_an_incident_carries_all_that_is_needed_to_see_the_failure() -> None:
    event = opened()
    assert (event.incident_id, event.task_id, event.stage, event.label) == (
        "t1-1",
        "t1",
        "verify",
        "gate_refused",
    )
    assert event.reason == "why"
    assert event.bases == {"r": "b"}
    assert event.commands == (("r", FIX),)
    assert event.restored == {"r": ("test_wide.py",)}
    assert event.patch == "the patch"
    assert event.evidence == (DIFF,)
    assert [change.commit for change in event.changes] == ["c"]
    assert [found.code for found in event.findings] == ["test_not_passing"]


def test_an_incident_is_opened_once_and_filed_once() -> None:
    opening = OpenIncident(incident_id="t1-1", awaited=given_up(), reason="why")
    filing = FileIncident(path="incidents/t1-1", reproducible=True)
    Scenario(incident).when(filing).then_nothing()
    made = Scenario(incident).when(opening, opening, filing, filing)
    made.then_types(IncidentOpened, IncidentFiled)
    assert made.events[-1] == IncidentFiled(
        incident_id="t1-1", task_id="t1", path="incidents/t1-1", reproducible=True, reason="why"
    )


def test_a_task_that_failed_before_anything_was_found_out_is_an_incident_too() -> None:
    bare = StageInput(spec=task())
    event = incident.fold(
        Scenario(incident)
        .when(OpenIncident(incident_id="i", awaited=given_up(subject=bare), reason="r"))
        .events
    ).opened
    assert event is not None
    assert (event.bases, event.changes, event.evidence, event.restored) == ({}, (), (), {})
    assert event.commands == (("r", FIX), ("r", TEST))


@pytest.mark.parametrize(
    ("receipts", "expected"),
    [
        ((receipt(TEST), receipt(FIX, exit_code=1)), ((FIX),)),
        ((receipt(TEST, exit_code=None, ended="wall"), receipt(FIX)), ((TEST),)),
        ((receipt(TEST, failed=2), receipt(FIX)), ((TEST),)),
        ((receipt(TEST, exit_code=1), receipt(TEST, exit_code=1)), ((TEST),)),
        ((receipt(TEST, exit_code=1, side="base"), receipt(FIX)), (FIX, TEST)),
        ((receipt(TEST), receipt(FIX)), (FIX, TEST)),
        ((), (FIX, TEST)),
    ],
)
def test_the_commands_are_those_that_failed_or_all_if_no_exit_code_tells(
    receipts: tuple[CommandReceipt, ...], expected: Any
) -> None:
    names = (expected,) if isinstance(expected, str) else expected
    subject = StageInput(spec=task(), verifications=(verification(*receipts),))
    assert failed_commands(subject) == tuple(("r", command) for command in names)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
def test_whatever_a_task_says_the_script_stays_one(text: str) -> None:
    lines = script(opened(title=text, reason=text, commands=(("r", text),)), True).splitlines()
    assert lines[0] == "#!/bin/sh"
    assert lines[1].startswith("# ")
    assert lines[2].startswith("# Given up at stage verify: ")
    assert lines[-1] == "exit 1"


def test_without_a_repository_the_script_says_that_it_cannot_tell() -> None:
    lines = script(opened(), False).splitlines()
    assert "exit 2" in lines
    assert "git clone" not in "\n".join(lines[: lines.index("exit 2")])


def test_the_readme_says_what_happened_and_how_to_go_on() -> None:
    text = readme(opened(), True)
    for part in (
        "Task `t1` was given up at stage `verify`: why",
        "test_not_passing",
        FIX,
        "`b`",
        "autopilot retry t1",
    ):
        assert part in text
