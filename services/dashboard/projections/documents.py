"""What the views hold. Documents are disposable: a rebuild from the record gives the same ones."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from contracts.receipt import EvidenceRef, Problem
from contracts.task import Activity, AxisScore, FailureClass, PullRequestRef, Reproduction

Phase: TypeAlias = Literal[
    "unknown",
    "queued",
    "running",
    "gating",
    "resolving",
    "waiting",
    "parked",
    "cancelling",
    "suspending",
    "done",
    "cancelled",
    "incident",
]
ENDS: frozenset[Phase] = frozenset({"done", "cancelled", "incident"})
Tone: TypeAlias = Literal["", "good", "bad", "warn"]
#: A line of the timeline, and how it is meant.
Line: TypeAlias = tuple[str, Tone]

#: Events that a task's timeline keeps, the latest ones; the record has them all.
TIMELINE_LIMIT = 500
#: Longest list of evidence, problems or commands kept of one run.
LIST_LIMIT = 100
#: Characters kept of a text that people wrote, and of one reason.
BODY_LIMIT, REASON_LIMIT = 10_000, 2_000


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    pass


class TimelineEntry(_Document, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a task, in a sentence."""

    position: int
    at: datetime
    type: str
    stream: str
    text: str
    tone: Tone = ""


class Repo(_Document, frozen=True, kw_only=True):
    """One repository of a task; credentials in its URL are left out."""

    name: str
    url: str
    base: str


class Parked(_Document, frozen=True, kw_only=True):
    """Why a task waits, and who or what ends the wait."""

    code: str = ""
    reason: str
    owner: str
    wake_up: str
    since: datetime


class Check(_Document, frozen=True, kw_only=True):
    """One command that the verifier ran itself: the proof, shortened."""

    repo: str
    purpose: str
    command: str
    side: str
    tree: str
    exit_code: int | None
    ended: str
    duration_s: float
    #: Highest use of memory that was seen, in MB.
    memory_mb: float = 0.0
    collected: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    cached: bool = False
    #: Digests of the stored output and test report.
    output: str = ""
    report: str = ""


class Change(_Document, frozen=True, kw_only=True):
    """The commit that a run made in one repository."""

    repo: str
    commit: str
    tree: str
    files: int
    #: Digest of the stored diff.
    diff: str = ""
    #: What the engine says that a reviewer has to know.
    remarks: tuple[str, ...] = ()


class RunFailure(_Document, frozen=True, kw_only=True):
    """Why a run failed."""

    kind: FailureClass
    code: str
    detail: str
    repo: str = ""


class Run(_Document, frozen=True, kw_only=True):
    """One attempt of one stage: what the task's own stream says of it, and what its run's stream says."""

    run_id: str
    #: From whichever of the two streams came first; both say the same.
    stage: Activity
    attempt: int
    #: From the task's stream.
    requested_at: datetime | None = None
    retry: int = 0
    #: From the run's stream; empty until it has started.
    status: Literal["", "started", "completed", "failed", "cancelled"] = ""
    started_at: datetime | None = None
    resumptions: int = 0
    ended_at: datetime | None = None
    #: Position of its last event; the order of runs.
    position: int = 0
    duration_s: float = 0.0
    failure: RunFailure | None = None
    #: Why it failed, or why what it measured is not accepted although it has done its work.
    problems: tuple[Problem, ...] = ()
    evidence: tuple[EvidenceRef, ...] = ()
    checks: tuple[Check, ...] = ()
    changes: tuple[Change, ...] = ()
    scores: tuple[AxisScore, ...] = ()
    pull_requests: tuple[PullRequestRef, ...] = ()
    note: str = ""


class Ballot(_Document, frozen=True, kw_only=True):
    """One vote in a gate's decision."""

    voter: str
    verdict: str
    reason: str
    score: int | None = None


class Review(_Document, frozen=True, kw_only=True):
    """One question to one gate, and its answer."""

    review_id: str
    gate: int
    round: int
    #: From the task's stream.
    stage: str = ""
    asked_at: datetime | None = None
    #: From the review's stream; empty until the gate has decided.
    verdict: str = ""
    decided_at: datetime | None = None
    position: int = 0
    findings: tuple[Problem, ...] = ()
    votes: tuple[Ballot, ...] = ()
    consensus: str = ""


class Loop(_Document, frozen=True, kw_only=True):
    """One way back to the plan."""

    loop: int
    stage: str
    kind: str
    label: str
    opened_at: datetime
    findings: tuple[Problem, ...] = ()
    #: What the next plan does differently.
    different: str = ""
    outcome: Literal["", "closed", "exhausted"] = ""


class TaskDocument(_Document, frozen=True, kw_only=True):
    """A task as all its streams tell it. Each field has one stream that writes it, but for maps by run and review."""

    task_id: str
    #: From the task's stream.
    title: str = ""
    body: str = ""
    engine: str = ""
    priority: str = ""
    queue: str = ""
    synthetic: bool = False
    repos: tuple[Repo, ...] = ()
    depends_on: tuple[str, ...] = ()
    budget: dict[str, int] = msgspec.field(default_factory=dict)
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    phase: Phase = "unknown"
    stage: str = ""
    #: When the phase, and when the present attempt of the stage, began.
    phase_since: datetime | None = None
    stage_since: datetime | None = None
    attempts: dict[str, int] = msgspec.field(default_factory=dict)
    skipped: dict[str, str] = msgspec.field(default_factory=dict)
    #: Latest verdict of each gate about the present plan.
    gates: dict[int, str] = msgspec.field(default_factory=dict)
    parked: Parked | None = None
    next_probe: datetime | None = None
    cancel_requested_by: str = ""
    reason: str = ""
    incident_id: str = ""
    approvals: tuple[str, ...] = ()
    #: Named by the end of the task; until then the runs' own count.
    pull_requests: tuple[PullRequestRef, ...] = ()
    retries_by_people: int = 0
    #: From the streams of its runs and reviews.
    runs: dict[str, Run] = msgspec.field(default_factory=dict)
    reviews: dict[str, Review] = msgspec.field(default_factory=dict)
    #: From the loop's stream, the incidents', admission's and the workspace's.
    loops: tuple[Loop, ...] = ()
    incident_paths: dict[str, str] = msgspec.field(default_factory=dict)
    holds_slot: bool = False
    workspace_removed_at: datetime | None = None
    #: From all: the latest events, and how many there were.
    timeline: tuple[TimelineEntry, ...] = ()
    events: int = 0
    #: Greatest position folded, and the time of that event.
    position: int = 0
    updated_at: datetime | None = None


class Card(_Document, frozen=True, kw_only=True):
    """A task in a list."""

    id: str
    title: str
    phase: Phase
    stage: str
    priority: str
    engine: str
    queue: str
    submitted_at: datetime
    position: int
    repos: tuple[str, ...] = ()
    synthetic: bool = False
    attempt: int = 0
    loops: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    phase_since: datetime | None = None
    stage_since: datetime | None = None
    reason: str = ""
    owner: str = ""
    wake_up: str = ""
    incident_id: str = ""
    depends_on: tuple[str, ...] = ()
    pull_requests: tuple[PullRequestRef, ...] = ()
    holds_slot: bool = False
    #: State of each of the eight stages under the present plan, in their order.
    stages: tuple[str, ...] = ()
    #: Latest verdict of each gate about the present plan.
    gates: dict[int, str] = msgspec.field(default_factory=dict)


class SinkState(_Document, frozen=True, kw_only=True):
    """What became of telling one sink."""

    delivered_at: datetime | None = None
    attempts: int = 0
    reason: str = ""


class AlertDocument(_Document, frozen=True, kw_only=True):
    """An alert and who has been told."""

    id: str
    rule: str = ""
    severity: str = ""
    summary: str = ""
    task_id: str = ""
    event_id: str = ""
    raised_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str = ""
    sinks: dict[str, SinkState] = msgspec.field(default_factory=dict)
    synthetic: bool = False
    position: int = 0


class IncidentDocument(_Document, frozen=True, kw_only=True):
    """A task given up, with what a person needs to act on it."""

    id: str
    task_id: str
    title: str = ""
    stage: str = ""
    reason: str = ""
    label: str = ""
    findings: tuple[Problem, ...] = ()
    repos: tuple[Repo, ...] = ()
    bases: dict[str, str] = msgspec.field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    evidence: tuple[EvidenceRef, ...] = ()
    opened_at: datetime | None = None
    filed_at: datetime | None = None
    path: str = ""
    #: Whether its script showed the failure as recorded, and what it gave.
    reproducible: bool = False
    reproduction: Reproduction | None = None
    #: Where its branch is; `unpublished` says why there is none.
    forge: str = ""
    branch: str = ""
    commit: str = ""
    unpublished: str = ""
    synthetic: bool = False
    position: int = 0


class ModeDocument(_Document, frozen=True, kw_only=True):
    """The mode in force."""

    mode: str = "normal"
    before: str = ""
    actor: str = ""
    reason: str = ""
    since: datetime | None = None
    position: int = 0


class LimitDocument(_Document, frozen=True, kw_only=True):
    """How many tasks may hold a slot."""

    max_concurrent: int
    actor: str
    since: datetime


class DiskDocument(_Document, frozen=True, kw_only=True):
    """How full a volume is, as far as anybody was told."""

    volume: str
    pressure: bool
    used_percent: float
    free_bytes: int
    since: datetime
