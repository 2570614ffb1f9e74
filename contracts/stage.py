"""Stream `run`: one attempt of one stage, or one workspace, written by the stage-runner."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from contracts.message import Event
from contracts.receipt import CommandReceipt, EvidenceRef, RepoBaseline, RepoVerification
from contracts.task import Activity, Failure, Plan, PullRequestRef, RepoChange, ReviewReport, Specification

#: Code of the failure of a run that got no more tokens: its task waits for them, nothing has gone wrong.
TOKENS_EXHAUSTED = "tokens_exhausted"


class StageOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stage found out or made; only the fields of its stage are set."""

    specification: Specification | None = None
    plan: Plan | None = None
    baselines: tuple[RepoBaseline, ...] = ()
    thoughts: tuple[str, ...] = ()
    changes: tuple[RepoChange, ...] = ()
    verifications: tuple[RepoVerification, ...] = ()
    review: ReviewReport | None = None
    pull_requests: tuple[PullRequestRef, ...] = ()
    #: Monitor's smoke commands.
    probes: tuple[CommandReceipt, ...] = ()
    #: What a withdrawal has left where it is, in sentences.
    left: tuple[str, ...] = ()


class _Run(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "run"
    key: ClassVar[str] = "run_id"
    run_id: str
    task_id: str
    stage: Activity
    attempt: int


class StageStarted(_Run, frozen=True, kw_only=True):
    """A replica works on a run; its message on the bus is done with."""

    replica: str
    epoch: int


class StageResumed(_Run, frozen=True, kw_only=True):
    """A run whose replica died goes on under a new lease; not a new attempt."""

    replica: str
    epoch: int
    reason: str


class ResourceExceeded(_Run, frozen=True, kw_only=True):
    """A limit was reached: what had reached it was stopped with all that it had started, and nothing else was."""

    resource: Literal["memory", "wall", "processes", "output"]
    #: The task's setting that is the limit, for example `budget.memory_mb`; empty where it is fixed.
    setting: str = ""
    #: MB of memory, seconds, processes, or bytes of output, of which what is beyond is not kept.
    limit: float
    #: The highest value that was seen, in the same unit.
    peak: float
    #: Empty for the stage as a whole.
    command: str = ""


class WallLimitNear(_Run, frozen=True, kw_only=True):
    """A stage has used most of the time that it, or its task, may take; it is stopped at the limit."""

    #: The task's setting that is the limit: `budget.stage_wall_s` or `budget.task_wall_s`.
    setting: str
    #: Seconds that this run may take in all, and has taken.
    limit_s: float
    elapsed_s: float


#: What a run may do to the outside world.
EffectKind: TypeAlias = Literal[
    "push", "open_pull_request", "update_pull_request", "close_pull_request", "label", "publish_check"
]


class EffectIntended(_Run, frozen=True, kw_only=True):
    """Something is about to be done to the outside world."""

    #: Idempotency key.
    effect: str
    kind: EffectKind
    target: str
    detail: str


class EffectSettled(_Run, frozen=True, kw_only=True):
    """What became of an effect: done by us, found already done, or refused."""

    effect: str
    outcome: Literal["done", "adopted", "refused", "reverted"]
    reference: str


class CallReserved(_Run, frozen=True, kw_only=True):
    """A call of a language model is about to be made."""

    #: Names the call within its run: after a crash the same call has the same name.
    call: str
    provider: str
    #: What it may take at most.
    tokens: int
    #: The run's grant, with all that has been added to it.
    granted: int


class CallSettled(_Run, frozen=True, kw_only=True):
    """It is known what a call took."""

    call: str
    tokens: int
    #: Digest of the stored answer, so that the call need not be made again.
    reference: str = ""


class TokenGrantExhausted(_Run, frozen=True, kw_only=True):
    """The next call does not fit into what is left of the grant: the run waits for an answer."""

    #: Counts the run's requests.
    number: int
    call: str
    #: What is missing.
    tokens: int
    #: What the run would have been granted in all.
    wanted: int


class StageCompleted(_Run, frozen=True, kw_only=True):
    """A stage did its work."""

    ends: ClassVar[bool] = True
    output: StageOutput
    evidence: tuple[EvidenceRef, ...] = ()
    duration_s: float
    #: Calls whose outcome is not known count as what was reserved for them.
    tokens_spent: int = 0


class StageFailed(_Run, frozen=True, kw_only=True):
    """A stage could not do its work, or the work was judged wrong by measurement."""

    ends: ClassVar[bool] = True
    failure: Failure
    output: StageOutput = StageOutput()
    evidence: tuple[EvidenceRef, ...] = ()
    duration_s: float
    tokens_spent: int = 0


class StageCancelled(_Run, frozen=True, kw_only=True):
    """A stage was stopped: its processes are gone, its worktree is removed, what became of its effects is known."""

    ends: ClassVar[bool] = True
    reason: str
    tokens_spent: int = 0


StageEvent: TypeAlias = (
    StageStarted
    | StageResumed
    | ResourceExceeded
    | WallLimitNear
    | EffectIntended
    | EffectSettled
    | CallReserved
    | CallSettled
    | TokenGrantExhausted
    | StageCompleted
    | StageFailed
    | StageCancelled
)
