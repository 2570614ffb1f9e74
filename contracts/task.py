"""Stream `task`: one task's life, written by the scheduler. Also the task file that people submit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta as Constraint

from contracts.gate import Verdict
from contracts.message import Event
from contracts.receipt import EvidenceRef, Problem, RepoBaseline, RepoVerification

Priority: TypeAlias = Literal["urgent", "normal", "low"]
Engine: TypeAlias = Literal["auto", "llm", "command", "repair", "patch", "noop"]
Stage: TypeAlias = Literal["spec", "plan", "think", "implement", "verify", "review", "pr", "monitor"]
#: What a run is for: a stage, making ready what the stages from `implement` on work on, or taking back what a cancelled
#: task has published.
Activity: TypeAlias = Literal[Stage, "workspace", "withdrawal"]
STAGES: tuple[Stage, ...] = ("spec", "plan", "think", "implement", "verify", "review", "pr", "monitor")
#: What becomes of a task when one that it depends on ends without a change.
OnFailedDependency: TypeAlias = Literal["park", "cancel"]
RiskClass: TypeAlias = Literal["low", "medium", "high"]

Name = Annotated[str, Constraint(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Constraint(max_length=200_000)]
MemoryCeiling = Annotated[int, Constraint(ge=16, le=65_536)]
ShellCommand = Annotated[str, Constraint(min_length=1, max_length=10_000)]


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Monitor(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a change is watched after its pull request is open."""

    #: A command that must exit 0 on a fresh checkout of the pull request.
    smoke: ShellCommand | None = None
    #: Seconds; 0 means one probe at once.
    window_s: Annotated[int, Constraint(ge=0, le=30 * 86_400)] = 0


class Verify(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The commands that judge a tree."""

    #: Must exit 0 on the change. What tests need to have been built belongs in `setup`: every command has its own copy.
    build: ShellCommand | None = None
    #: The whole suite: what passes on the base must pass on the change, test by test.
    test: ShellCommand | None = None
    #: A security scan or lint that must exit 0 on the change.
    audit: ShellCommand | None = None


class RepoSpec(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One repository of a task."""

    #: What it is called in this task, for example where a task carries one patch for each repository.
    name: Name
    #: Any git URL or path; in a file, a path is relative to the file. A checkout is only ever read.
    url: Annotated[str, Constraint(min_length=1, max_length=4_096)]
    #: Branch, tag or commit.
    base: Annotated[str, Constraint(min_length=1, max_length=512)] = "HEAD"
    #: Run in every fresh checkout before anything else.
    setup: Annotated[str, Constraint(max_length=10_000)] | None = None
    #: For this repository's commands; absolute directories named here are mounted read-only.
    env: dict[str, str] = msgspec.field(default_factory=dict)
    #: Existing tests that the change may edit: paths or glob patterns.
    may_change_tests: tuple[str, ...] = ()
    #: How the change is watched once its pull request is open.
    monitor: Monitor = msgspec.field(default_factory=Monitor)
    #: The commands that judge a tree; `test` here or `fail_to_pass` is needed.
    verify: Verify = msgspec.field(default_factory=Verify)
    #: Commands that must fail on the base and pass on the change.
    fail_to_pass: tuple[ShellCommand, ...] = ()
    #: Test ids that fail on the base and may go on failing.
    known_failures: tuple[str, ...] = ()
    #: Path of the JUnit XML report that the test commands write; needed for runners other than pytest.
    report: str | None = None


#: What a stage and a task may take, in walls of a single command, unless the task says otherwise.
STAGE_WALLS, TASK_WALLS = 4, 16


class Budget(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hard ceilings of one task."""

    #: Tokens of language models.
    tokens: Annotated[int, Constraint(ge=0)] = 10_000
    #: Megabytes that any one command may take, with all its processes.
    memory_mb: MemoryCeiling = 100
    #: Seconds that any one command may take.
    wall_s: Annotated[int, Constraint(ge=1, le=86_400)] = 900
    #: Seconds that any one attempt of a stage may take; unless given, four times `wall_s`.
    stage_wall_s: Annotated[int, Constraint(ge=1, le=604_800)] | None = None
    #: Seconds of work on the task in all, waiting not counted; unless given, sixteen times `wall_s`.
    task_wall_s: Annotated[int, Constraint(ge=1, le=2_592_000)] | None = None

    @property
    def stage_s(self) -> float:
        """Return how many seconds an attempt of a stage may take."""
        return self.stage_wall_s or STAGE_WALLS * self.wall_s

    @property
    def task_s(self) -> float:
        """Return how many seconds of work the task may take."""
        return self.task_wall_s or TASK_WALLS * self.wall_s


class TaskSpec(_Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as submitted: the task file, with patches inlined."""

    #: What shall be different, in a line; the pull request is called so.
    title: Annotated[str, Constraint(min_length=1, max_length=500)]
    #: The repositories it is about.
    repos: Annotated[tuple[RepoSpec, ...], Constraint(min_length=1, max_length=16)]
    #: Names this task among those that are submitted with it.
    key: Name | None = None
    #: What is wrong, in prose.
    body: Text = ""
    #: Who makes the change.
    engine: Engine = "auto"
    #: For engine `patch`: one text, or one text for each repository name. In a file, the name of a patch file will do.
    patch: str | dict[str, str] | None = None
    #: Who gets the next free slot.
    priority: Priority = "normal"
    #: Ids of tasks, or keys of tasks that are submitted with it: it starts on a tree that has their changes.
    depends_on: Annotated[tuple[str, ...], Constraint(max_length=64)] = ()
    #: Whose work it is, a team for example.
    queue: Name = "default"
    #: Hard ceilings.
    budget: Budget = msgspec.field(default_factory=Budget)
    #: Simulated work: it counts in no statistic. Only such a task may ask for engine `noop`.
    synthetic: bool = False


class BaseRef(msgspec.Struct, frozen=True, kw_only=True):
    """A tree that a task must build on because a dependency's change is in it."""

    repo_url: str
    #: Task whose pull request it is.
    task_id: str
    commit: str
    #: Branch of the pull request, named in the stacked one.
    branch: str
    pull_request: str = ""


class PlannedRepo(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan says about one repository."""

    repo: str
    base_commit: str
    #: Files the change will touch.
    files: tuple[str, ...]
    #: Paths, folders or glob patterns that the change stays within, where its files cannot be named beforehand.
    scope: tuple[str, ...] = ()
    verification: tuple[str, ...]
    rollback: str
    #: SHA-256 of the patch for engine `patch`; the content by which two plans differ.
    patch_digest: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a task is going to be solved, and how it will be judged."""

    approach: str
    repos: tuple[PlannedRepo, ...]
    risk: RiskClass
    #: Hash of the plan's content; equal digests are the same plan.
    digest: str


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """What the spec stage made of a task."""

    #: Commands that must fail on the base and pass on the change, with their repository.
    acceptance: tuple[tuple[str, str], ...]
    risk: RiskClass
    #: Reasons for the risk class.
    risk_reasons: tuple[str, ...] = ()
    #: Open questions; not empty means that the specification is ambiguous.
    ambiguities: tuple[str, ...] = ()
    #: Base commit of each repository, by name.
    bases: dict[str, str] = msgspec.field(default_factory=dict)
    #: What each base is, however the task spells it: the name of a branch, or a commit where it is none.
    branches: dict[str, str] = msgspec.field(default_factory=dict)


class RepoChange(msgspec.Struct, frozen=True, kw_only=True):
    """The commit that the implement stage made in one repository."""

    repo: str
    base_commit: str
    commit: str
    tree: str
    files: tuple[str, ...]
    diff: EvidenceRef | None = None
    #: What the engine says that a reviewer has to know, in sentences; the pull request quotes them.
    remarks: tuple[str, ...] = ()


def run_id_of(task_id: str, stage: Activity, attempt: int, retry: int = 0) -> str:
    """Name a run: `<task>-<stage>-<attempt>`, and `-<retry>` where the attempt is run again."""
    return f"{task_id}-{stage}-{attempt}" + (f"-{retry}" if retry else "")


def column_of(activity: Activity) -> Stage:
    """Name the stage under which something is shown that people read by stages: that which it is made for, or undoes."""
    match activity:
        case "workspace":
            return "implement"
        case "withdrawal":
            return "pr"
        case _:
            return activity


FailureClass: TypeAlias = Literal["transient", "persistent", "impossible", "environmental"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a stage failed or a gate refused: structured, so that nobody has to read logs by substring."""

    kind: FailureClass
    #: Closed vocabulary, for example `patch_does_not_apply` or `gate_refused`.
    code: str
    #: A sentence that names cause and remedy.
    detail: str
    #: The repository concerned, if it is one.
    repo: str = ""
    findings: tuple[Problem, ...] = ()
    #: Seconds for which an outside service wants to be left alone; a retry waits at least so long.
    retry_after_s: float = 0.0


class AxisScore(msgspec.Struct, frozen=True, kw_only=True):
    """One axis of the review rubric: 0 to 4 from a measured fact, or None where the fact is missing."""

    axis: str
    score: int | None
    fact: str


class ReviewReport(msgspec.Struct, frozen=True, kw_only=True):
    """The rubric, scored from measured facts."""

    scores: tuple[AxisScore, ...]
    tree: str


class PullRequestRef(msgspec.Struct, frozen=True, kw_only=True):
    """One pull request of a task."""

    repo: str
    repo_url: str
    number: int
    branch: str
    base: str
    commit: str
    tree: str
    url: str
    draft: bool = False


class PlanDelta(msgspec.Struct, frozen=True, kw_only=True):
    """How the next plan differs from the one that failed, and which failure it answers."""

    loop: int
    #: What is different, in a sentence.
    different: str
    #: Evidence or problem codes that it answers.
    answers: tuple[str, ...]
    #: Signature of what failed, so that the same attempt is not made twice.
    signature: str
    #: Trees of this task's changes that failed so far: none of them is a candidate any more.
    avoid: tuple[str, ...] = ()


#: What the script of an incident gave. `otherwise`: something fails, but not as recorded. `not_tried`: the script could
#: not be run to its end.
Gave: TypeAlias = Literal["as_recorded", "does_not_show", "otherwise", "not_tried"]


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What an incident's script gave when it was run in the sandbox, before the incident was filed."""

    gave: Gave
    #: None where the script did not exit by itself.
    exit_code: int | None = None
    #: Seconds.
    duration_s: float = 0.0
    #: The script's last words, or why it was not run.
    detail: str = ""


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of an incident: enough to read it, to try it, and to go on from it."""

    incident_id: str
    #: Where the task was given up, and the failure's code.
    stage: Activity
    code: str
    reason: str
    findings: tuple[Problem, ...] = ()
    #: Its directory, relative to the data directory.
    path: str
    #: Address of the repository that has the branch, without credentials; empty where there is no branch.
    forge: str = ""
    branch: str = ""
    commit: str = ""
    #: Why there is no branch.
    unpublished: str = ""
    reproduction: Reproduction


class StageInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that a stage needs to know; a stage reads nothing else of the task."""

    spec: TaskSpec
    bases: tuple[BaseRef, ...] = ()
    specification: Specification | None = None
    plan: Plan | None = None
    delta: PlanDelta | None = None
    #: What the bases of the plan showed, before anything was changed.
    baselines: tuple[RepoBaseline, ...] = ()
    thoughts: tuple[str, ...] = ()
    changes: tuple[RepoChange, ...] = ()
    verifications: tuple[RepoVerification, ...] = ()
    review: ReviewReport | None = None
    pull_requests: tuple[PullRequestRef, ...] = ()
    #: Gates that approved so far: `gate:verdict`, quoted in the pull request.
    approvals: tuple[str, ...] = ()
    draft: bool = False
    #: The incident that a person's retry goes on from.
    incident: IncidentReport | None = None
    #: Seconds of work that the task's stages have taken since it was submitted or retried.
    worked_s: float = 0.0


class TokenGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt may spend on calls of a language model; counted as reserved until the attempt ends."""

    tokens: int
    #: Whom it pays.
    provider: str
    #: What the task had spent when this was granted, this attempt's earlier runs included.
    before: int = 0


class _Task(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "task"
    task_id: str


class TaskSubmitted(_Task, frozen=True, kw_only=True):
    """A task was accepted."""

    spec: TaskSpec
    submitted_at: datetime
    #: Ids of the tasks it depends on (keys already resolved).
    depends_on: tuple[str, ...] = ()
    #: SHA-256 of the request body, for idempotent submission.
    request_digest: str = ""
    #: Id of the batch it came in, empty for a task that was submitted by itself.
    batch: str = ""
    on_failed_dependency: OnFailedDependency = "park"


class TaskAdmitted(_Task, frozen=True, kw_only=True):
    """A task got a slot; its base contains what it depends on."""

    bases: tuple[BaseRef, ...] = ()


class StageRequested(_Task, frozen=True, kw_only=True):
    """A stage shall be run: one attempt."""

    run_id: str
    stage: Stage
    #: Numbered per task and stage, never reset.
    attempt: int
    input: StageInput
    #: How often this attempt was run again: after a passing failure, an emergency stop, or as the next probe of monitor.
    #: Not counted as an attempt.
    retry: int = 0
    #: Passing failures of this attempt so far.
    failures: int = 0
    #: None where the stage spends no tokens.
    tokens: TokenGrant | None = None


class TokensGranted(_Task, frozen=True, kw_only=True):
    """A run that had come to the end of its grant may spend so many tokens more."""

    run_id: str
    #: Which of the run's requests this answers.
    number: int
    tokens: int


class TokensRefused(_Task, frozen=True, kw_only=True):
    """A run that had come to the end of its grant gets no more now: it ends, and the task waits."""

    run_id: str
    number: int
    #: What its next run needs in all.
    wanted: int
    reason: str


class TaskBudgetChanged(_Task, frozen=True, kw_only=True):
    """A person changed how many tokens a task may spend in all."""

    tokens: int
    actor: str


class WorkspaceRequested(_Task, frozen=True, kw_only=True):
    """What the plan builds on shall be made ready: clone, checkout, set-up, and every command once on the base.

    It takes no attempt of a stage and no tokens. The run that answers is like a stage's.
    """

    run_id: str
    stage: Literal["workspace"] = "workspace"
    #: Counts the workspaces of a task: the next one is for a plan on another base.
    attempt: int
    input: StageInput
    #: How often this one was made again: after a passing failure or an emergency stop.
    retry: int = 0
    #: Passing failures of this one so far.
    failures: int = 0
    #: Seconds that it may take; waiting for a place in which commands are executed is not counted.
    wall_s: float
    #: The run that is under way meanwhile; empty where the task waits for this one alone.
    beside: str = ""


class WithdrawalRequested(_Task, frozen=True, kw_only=True):
    """What a cancelled task has published, or may have, shall be taken back; then the task ends.

    The run that answers is like a stage's, but needs no slot: it executes nothing, and no mode keeps it waiting.
    """

    run_id: str
    stage: Literal["withdrawal"] = "withdrawal"
    #: Counts the withdrawals of a task: one for each time it is cancelled.
    attempt: int
    input: StageInput
    retry: int = 0


class RunJoined(_Task, frozen=True, kw_only=True):
    """One of two runs that were under way beside each other has ended; the task goes on when the other one has."""

    run_id: str
    stage: Activity
    outcome: Literal["completed", "failed", "cancelled"]
    #: What is known with what it found out; None where it was stopped.
    subject: StageInput | None = None
    #: Why the other one is stopped, and what resolution is asked about then.
    failure: Failure | None = None
    evidence: tuple[EvidenceRef, ...] = ()


class StageSkipped(_Task, frozen=True, kw_only=True):
    """A stage was left out, with its reason."""

    stage: Stage
    reason: str


class GateRequested(_Task, frozen=True, kw_only=True):
    """A gate shall judge the plan or the change."""

    review_id: str
    gate: int
    #: How often this gate was asked about this task.
    round: int
    stage: Stage
    #: The judged content: what `StageInput` holds after the stage.
    subject: StageInput


class GateAnswered(_Task, frozen=True, kw_only=True):
    """A gate's verdict reached the task."""

    review_id: str
    gate: int
    verdict: Verdict
    #: Tree hashes of what was judged, by repository.
    trees: dict[str, str] = msgspec.field(default_factory=dict)
    findings: tuple[Problem, ...] = ()


class ResolutionAwaited(_Task, frozen=True, kw_only=True):
    """A stage failed or a gate refused: resolution decides how it goes on."""

    stage: Activity
    #: Run or reviews that failed.
    cause: str
    failure: Failure
    #: Gates that refused; empty when a stage failed.
    gates: tuple[int, ...] = ()
    #: Passing failures of this attempt before this one.
    retry: int = 0
    #: Which failure of its task this is, counted from 1; the answer repeats it. 0 in records from before it was told.
    number: int = 0
    #: What was known when it failed.
    subject: StageInput
    evidence: tuple[EvidenceRef, ...] = ()


class StageCancelRequested(_Task, frozen=True, kw_only=True):
    """A running stage shall be stopped: its process tree killed, its worktree removed."""

    #: Of earlier releases: since then no stop takes back what a run has done to the outside, see `WithdrawalRequested`.
    keeps: bool = False

    run_id: str
    stage: Activity
    attempt: int
    reason: str


class TaskCancelRequested(_Task, frozen=True, kw_only=True):
    """Somebody asked to cancel a task."""

    actor: str
    reason: str = ""


class TaskParked(_Task, frozen=True, kw_only=True):
    """A task waits without holding a slot."""

    code: Literal[
        "no_quorum",
        "proof_missing",
        "dependency_broken",
        "emergency_stop",
        "backing_off",
        "rate_limited",
        "tokens",
        "files_overlap",
        "mode",
        "memory_ceiling",
    ]
    #: In words.
    reason: str
    #: Who or what can end the wait.
    owner: str
    #: What ends it.
    wake_up: str
    #: When the wait ends by itself; None where it takes somebody or something else.
    until: datetime | None = None
    #: Where it goes on if that is not the stage it was at: what came while nothing might be started is not lost.
    next_stage: Activity | None = None
    #: What that stage gets.
    subject: StageInput | None = None


class TaskUnparked(_Task, frozen=True, kw_only=True):
    """What a parked task waited for has happened; it is queued again."""

    reason: str
    #: Tasks whose changes its tree has to contain, since their planned files overlapped with its own.
    after: tuple[str, ...] = ()


class MemoryCeilingChanged(_Task, frozen=True, kw_only=True):
    """A person changed what the task's commands may take of memory."""

    memory_mb: int
    before: int
    actor: str


class MonitorWaitStarted(_Task, frozen=True, kw_only=True):
    """The change is watched; the next probe comes with a timer."""

    until: datetime
    next_probe: datetime


class InfiniteLoopDetected(_Task, frozen=True, kw_only=True):
    """A stage was attempted too often, or made no progress three times."""

    stage: Stage
    attempts: int
    signature: str = ""


class TaskRetried(_Task, frozen=True, kw_only=True):
    """A person granted one more allowance; numbering goes on."""

    actor: str


class TaskPriorityChanged(_Task, frozen=True, kw_only=True):
    """Somebody moved a task to another class: from now on it waits for slots in that one."""

    priority: Priority
    before: Priority
    actor: str


class TaskDone(_Task, frozen=True, kw_only=True):
    """The change is in a pull request, proven and approved."""

    ends: ClassVar[bool] = True
    pull_requests: tuple[PullRequestRef, ...]
    approvals: tuple[str, ...]


class TaskCancelled(_Task, frozen=True, kw_only=True):
    """A task ended because somebody wanted it to."""

    ends: ClassVar[bool] = True
    actor: str
    reason: str = ""
    #: What it has published and was not taken back, in sentences.
    left: tuple[str, ...] = ()


class TaskGivenUp(_Task, frozen=True, kw_only=True):
    """A task ended in an incident that a person can act on."""

    ends: ClassVar[bool] = True
    incident_id: str
    reason: str
    report: IncidentReport | None = None


#: What asks for a run.
RunRequest: TypeAlias = StageRequested | WorkspaceRequested | WithdrawalRequested

TaskEvent: TypeAlias = (
    TaskSubmitted
    | TaskAdmitted
    | StageRequested
    | TokensGranted
    | TokensRefused
    | TaskBudgetChanged
    | WorkspaceRequested
    | WithdrawalRequested
    | RunJoined
    | StageSkipped
    | GateRequested
    | GateAnswered
    | ResolutionAwaited
    | StageCancelRequested
    | TaskCancelRequested
    | TaskParked
    | TaskUnparked
    | MemoryCeilingChanged
    | MonitorWaitStarted
    | InfiniteLoopDetected
    | TaskRetried
    | TaskPriorityChanged
    | TaskDone
    | TaskCancelled
    | TaskGivenUp
)
