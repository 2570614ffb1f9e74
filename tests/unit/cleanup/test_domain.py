"""What cleanup decides: given events, when a command, then events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.message import Event
from contracts.receipt import CommandReceipt, EvidenceRef
from contracts.stage import StageCompleted, StageOutput
from contracts.task import RepoChange
from contracts.workspace import (
    ArtifactCompressed,
    DiskPressureCleared,
    DiskPressureRaised,
    WorkspaceRemoved,
)
from libs.eventsourcing.decider import Decider
from services.cleanup.domain.artifact import Compressed, artifact, evidence_of
from services.cleanup.domain.disk import Measure, disk
from services.cleanup.domain.workspace import Removed, workspace

DIGEST = "ab" * 32
COMPRESSED = ArtifactCompressed(digest=DIGEST, before=100, after=30)
RAISED = DiskPressureRaised(volume="data", used_percent=90.0, free_bytes=1)
CLEARED = DiskPressureCleared(volume="data", used_percent=75.0, free_bytes=1)


def measured(used: float, pause: float = 90.0, resume: float = 75.0) -> Measure:
    return Measure(used_percent=used, free_bytes=1, pause_percent=pause, resume_percent=resume)


def removed(freed: int) -> WorkspaceRemoved:
    return WorkspaceRemoved(task_id="t1", freed=freed)


@pytest.mark.parametrize(
    ("decider", "past", "command", "expected"),
    [
        (artifact, [], Compressed(digest=DIGEST, before=100, after=30), [COMPRESSED]),
        (artifact, [COMPRESSED], Compressed(digest=DIGEST, before=100, after=30), []),
        (workspace, [], Removed(task_id="t1", nth=1, freed=7), [removed(7)]),
        (workspace, [removed(7)], Removed(task_id="t1", nth=1, freed=7), []),
        (workspace, [removed(7)], Removed(task_id="t1", nth=2, freed=5), [removed(5)]),
        (disk, [], measured(89.9), []),
        (disk, [], measured(90.0), [RAISED]),
        (disk, [RAISED], measured(99.0), []),
        (disk, [RAISED], measured(75.1), []),
        (disk, [RAISED], measured(75.0), [CLEARED]),
        (disk, [RAISED, CLEARED], measured(75.0), []),
        (disk, [RAISED, CLEARED], measured(90.0), [RAISED]),
        # One threshold for both: what begins the pressure never ends it.
        (disk, [RAISED], measured(80.0, pause=80.0, resume=80.0), []),
    ],
)
def test_decisions(
    decider: Decider[Any, Any], past: list[Event], command: object, expected: list[Event]
) -> None:
    assert list(decider.decide(command, decider.fold(past))) == expected


levels = st.floats(0, 100, allow_nan=False)


@settings(max_examples=50)
@given(measurements=st.lists(levels, max_size=30), pause=levels, resume=levels)
def test_pressure_begins_high_ends_low_and_alternates(
    measurements: list[float], pause: float, resume: float
) -> None:
    past: list[Event] = []
    for used in measurements:
        command = measured(used, pause, resume)
        decided = list(disk.decide(command, disk.fold(past)))
        past += decided
        assert list(disk.decide(command, disk.fold(past))) == []
        for event in decided:
            assert used >= pause if isinstance(event, DiskPressureRaised) else used <= resume
    kinds = [type(event) for event in past]
    assert (
        kinds == [DiskPressureRaised, DiskPressureCleared] * (len(kinds) // 2) + kinds[len(kinds) // 2 * 2 :]
    )
    assert kinds[:1] in ([], [DiskPressureRaised])


@settings(max_examples=50)
@given(st.lists(levels, min_size=2, max_size=30))
def test_between_the_thresholds_nothing_changes(measurements: list[float]) -> None:
    between = [75.5 + used / 100 * 14 for used in measurements]
    for past in ([], [RAISED]):
        assert [list(disk.decide(measured(used), disk.fold(past))) for used in between] == [[]] * len(between)


def test_evidence_is_found_wherever_an_event_names_it() -> None:
    def ref(letter: str) -> EvidenceRef:
        return EvidenceRef(digest=letter * 64, name="log")

    receipt = CommandReceipt(
        purpose="test",
        command="pytest",
        side="change",
        tree="1",
        exit_code=0,
        ended="exited",
        duration_s=1.0,
        peak_memory_mb=1.0,
        output=ref("b"),
        report=ref("c"),
    )
    change = RepoChange(repo="r", base_commit="1", commit="2", tree="3", files=(), diff=ref("d"))
    event = StageCompleted(
        run_id="t1-verify-1",
        task_id="t1",
        stage="verify",
        attempt=1,
        output=StageOutput(changes=(change,), probes=(receipt,)),
        evidence=(ref("a"), ref("b")),
        duration_s=1.0,
    )
    assert sorted(evidence_of(event)) == [letter * 64 for letter in "abcd"]
