"""Streams `loop` and `incident`: what is done about failures, written by resolution."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from contracts.message import Event
from contracts.receipt import CommandReceipt, EvidenceRef, Problem
from contracts.task import (
    Activity,
    Budget,
    Engine,
    FailureClass,
    IncidentReport,
    PlanDelta,
    RepoChange,
    RepoSpec,
    Reproduction,
)


class _Loop(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "loop"
    task_id: str


class LoopOpened(_Loop, frozen=True, kw_only=True):
    """A verify, review or gate failed: the way back to the plan begins."""

    #: 1, 2, 3 …, never reset.
    loop: int
    stage: Activity
    #: Gates that refused; empty when a stage failed.
    gates: tuple[int, ...] = ()
    kind: FailureClass
    #: Blocker label of architecture section 6, or the failure's code.
    label: str
    #: Equal for equal causes on different tasks.
    fingerprint: str
    #: Equal for equal attempts on this task.
    signature: str
    findings: tuple[Problem, ...] = ()
    #: Trees of the change that failed.
    trees: tuple[str, ...] = ()


class PlanDeltaRecorded(_Loop, frozen=True, kw_only=True):
    """The next plan is different in content; the scheduler goes back to `plan`."""

    delta: PlanDelta
    #: Of the failure that this answers.
    number: int = 0


class StageRetryAdvised(_Loop, frozen=True, kw_only=True):
    """A transient failure: the same run again after a wait; not an attempt."""

    run_id: str
    stage: Activity
    retry: int
    #: Seconds.
    after_s: float
    #: Seconds for which an outside service asked to be left alone; 0 where none did.
    retry_after_s: float = 0.0
    #: Of the failure that this answers.
    number: int = 0


class LoopClosed(_Loop, frozen=True, kw_only=True):
    """The step that had failed has passed."""

    loop: int
    stage: Activity


class LoopExhausted(_Loop, frozen=True, kw_only=True):
    """Nothing more can be tried by the machine."""

    loop: int
    reason: str
    incident_id: str


class _Incident(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "incident"
    key: ClassVar[str] = "incident_id"
    incident_id: str
    task_id: str


class IncidentOpened(_Incident, frozen=True, kw_only=True):
    """A task is given up; all that is needed to reproduce the failure."""

    title: str
    stage: Activity
    reason: str
    label: str
    findings: tuple[Problem, ...]
    repos: tuple[RepoSpec, ...]
    #: Base commits by repository name.
    bases: dict[str, str]
    changes: tuple[RepoChange, ...]
    #: Commands that failed: (repository name, command).
    commands: tuple[tuple[str, str], ...]
    #: Files of each repository that are restored from the base before the commands are run, as the verifier does.
    restored: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    #: The patch of engine `patch`, for a change that never became a commit.
    patch: str | dict[str, str] | None = None
    evidence: tuple[EvidenceRef, ...]
    #: The repository concerned, if it is one.
    repo: str = ""
    engine: Engine = "patch"
    kind: FailureClass = "persistent"
    #: Limits of every command.
    budget: Budget = Budget()
    #: What was measured and tells the failure: (repository name, receipt).
    receipts: tuple[tuple[str, CommandReceipt], ...] = ()
    #: The task's stream led here up to this version; 0 where it was not noted.
    upto: int = 0
    #: Of the failure that this answers.
    number: int = 0


class IncidentWritten(_Incident, frozen=True, kw_only=True):
    """The MRFC directory is written and its script was run; the branch is about to be pushed."""

    #: Relative to the data directory.
    path: str
    reproduction: Reproduction
    #: Repository whose forge gets the branch; empty where none can be made.
    repo_url: str = ""
    #: The branch, the commit it gets, and the commit of an earlier incident that it is at now (empty: there is none).
    branch: str = ""
    commit: str = ""
    parent: str = ""
    #: Why no branch is made.
    unpublished: str = ""


class IncidentFiled(_Incident, frozen=True, kw_only=True):
    """The MRFC directory is written, and its branch is in the forge unless the report says why not."""

    ends: ClassVar[bool] = True
    #: Relative to the data directory.
    path: str
    #: Whether its script showed the failure as recorded when it was run.
    reproducible: bool
    #: Why the task was given up.
    reason: str = ""
    report: IncidentReport | None = None
    #: Of the failure that this answers.
    number: int = 0


LoopEvent: TypeAlias = LoopOpened | PlanDeltaRecorded | StageRetryAdvised | LoopClosed | LoopExhausted
IncidentEvent: TypeAlias = IncidentOpened | IncidentWritten | IncidentFiled
