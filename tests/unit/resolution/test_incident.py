"""What an incident carries, and the texts that a person gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.receipt import ChangeFacts, CommandReceipt, EvidenceRef, Problem, RepoVerification
from contracts.resolution import IncidentFiled, IncidentOpened, IncidentWritten
from contracts.task import (
    Failure,
    RepoChange,
    Reproduction,
    ResolutionAwaited,
    Specification,
    StageInput,
    TaskSpec,
)
from libs.testing.scenario import Scenario
from services.resolution.domain import (
    MAX_FINDINGS,
    FileIncident,
    OpenIncident,
    WriteIncident,
    failed_commands,
    incident,
)

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


SHOWN = Reproduction(gave="as_recorded", exit_code=1, duration_s=2.0, detail="it shows")


def written(**values: Any) -> WriteIncident:
    """The directory is there, and a commit for the branch."""
    given: dict[str, Any] = {"repo_url": "u", "branch": "incident/t1", "commit": "i" * 40, **values}
    return WriteIncident(path="incidents/t1-1", reproduction=SHOWN, **given)


def filed(*commands: Any) -> IncidentFiled:
    """The end of an incident."""
    opening = OpenIncident(incident_id="t1-1", awaited=given_up(), reason="why")
    (event,) = [
        event
        for event in Scenario(incident).when(opening, *commands).events
        if isinstance(event, IncidentFiled)
    ]
    return event


def test_an_incident_is_opened_once_written_once_and_filed_once() -> None:
    opening = OpenIncident(incident_id="t1-1", awaited=given_up(), reason="why")
    filing = FileIncident(forge="/forge")
    Scenario(incident).when(written()).then_nothing()
    Scenario(incident).when(filing).then_nothing()
    Scenario(incident).when(opening, filing).then_types(IncidentOpened)
    made = Scenario(incident).when(opening, opening, written(), written(commit="x"), filing, filing)
    made.then_types(IncidentOpened, IncidentWritten, IncidentFiled)


def test_a_filed_incident_reports_what_its_script_gave_and_where_it_is() -> None:
    event = filed(written(), FileIncident(forge="/forge"))
    assert (event.path, event.reproducible, event.reason) == ("incidents/t1-1", True, "why")
    report = event.report
    assert report is not None
    assert (report.forge, report.branch, report.commit) == ("/forge", "incident/t1", "i" * 40)
    assert (report.stage, report.code, report.unpublished) == ("verify", "gate_refused", "")
    assert report.reproduction == SHOWN
    assert [found.code for found in report.findings] == ["test_not_passing"]


@pytest.mark.parametrize("gave", ["does_not_show", "otherwise", "not_tried"])
def test_what_was_not_seen_to_fail_as_recorded_is_not_called_reproducible(gave: Any) -> None:
    assert not filed(
        msgspec.structs.replace(written(), reproduction=Reproduction(gave=gave)), FileIncident(forge="/f")
    ).reproducible


@pytest.mark.parametrize(
    ("wrote", "filing"),
    [
        (written(), FileIncident(unpublished="refused")),
        (written(commit="", branch="", unpublished="refused"), FileIncident()),
    ],
)
def test_a_branch_that_could_not_be_pushed_is_not_claimed(wrote: WriteIncident, filing: FileIncident) -> None:
    report = filed(wrote, filing).report
    assert report is not None
    assert (report.forge, report.branch, report.commit, report.unpublished) == ("", "", "", "refused")


def test_a_report_stays_small_and_the_incident_has_everything() -> None:
    many = tuple(Problem(code="x", detail=str(number)) for number in range(100))
    awaited = given_up(failure=Failure(kind="persistent", code="c", detail="d", findings=many))
    events = (
        Scenario(incident)
        .when(
            OpenIncident(incident_id="t1-1", awaited=awaited, reason="why"),
            written(),
            FileIncident(forge="/f"),
        )
        .events
    )
    assert isinstance(events[0], IncidentOpened)
    assert isinstance(events[-1], IncidentFiled)
    assert events[0].findings == many
    assert events[-1].report is not None
    assert events[-1].report.findings == many[:MAX_FINDINGS]


@pytest.mark.parametrize(
    ("seen", "codes", "tells"),
    [
        (receipt(TEST, exit_code=1), ("command_failed",), True),
        (receipt(TEST), ("evasion",), False),
        (receipt(TEST, failed=1), (), True),
        (receipt(TEST, exit_code=None, ended="wall"), (), True),
        (receipt(TEST, side="base", exit_code=1), (), False),
        (receipt("make", side="base", purpose="setup", exit_code=1), (), True),
        (receipt(FIX, side="base", purpose="fail_to_pass"), ("not_failing_on_base",), True),
        (receipt(FIX, side="base", purpose="fail_to_pass"), ("test_not_passing",), False),
        (receipt(FIX, side="base", purpose="fail_to_pass", exit_code=1), ("not_failing_on_base",), False),
    ],
)
def test_only_receipts_that_tell_the_failure_are_carried_with_their_output(
    seen: CommandReceipt, codes: tuple[str, ...], tells: bool
) -> None:
    log = EvidenceRef(digest="e" * 64, name="test.log")
    seen = msgspec.structs.replace(seen, output=log)
    subject = msgspec.structs.replace(given_up().subject, verifications=(verification(seen),))
    found = tuple(Problem(code=code, detail="d") for code in codes)
    awaited = given_up(
        subject=subject, failure=Failure(kind="persistent", code="c", detail="d", findings=found)
    )
    (event,) = (
        Scenario(incident).when(OpenIncident(incident_id="i-1", awaited=awaited, reason="r", upto=7)).events
    )
    assert isinstance(event, IncidentOpened)
    assert event.receipts == ((("r", seen),) if tells else ())
    assert (log in event.evidence) == tells
    assert event.upto == 7


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
