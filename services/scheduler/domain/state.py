"""One task as its own events tell it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias, assert_never

import msgspec

from contracts.receipt import Problem
from contracts.task import (
    Activity,
    BaseRef,
    GateAnswered,
    GateRequested,
    IncidentReport,
    InfiniteLoopDetected,
    MemoryCeilingChanged,
    MonitorWaitStarted,
    OnFailedDependency,
    Priority,
    PullRequestRef,
    Reproduction,
    ResolutionAwaited,
    RunJoined,
    Stage,
    StageCancelRequested,
    StageInput,
    StageRequested,
    StageSkipped,
    TaskAdmitted,
    TaskBudgetChanged,
    TaskCancelled,
    TaskCancelRequested,
    TaskDone,
    TaskEvent,
    TaskGivenUp,
    TaskParked,
    TaskPriorityChanged,
    TaskRetried,
    TaskSpec,
    TaskSubmitted,
    TaskUnparked,
    TokenGrant,
    TokensGranted,
    TokensRefused,
    WithdrawalRequested,
    WorkspaceRequested,
)
from services.scheduler.domain.known import whole

#: queued: waits for a slot · running: a stage is under way · gating: gates are asked · resolving: a failure is
#: being looked at · waiting: between two probes of monitor · parked: waits for something named · cancelling:
#: what runs is being stopped, what was published taken back · suspending: what runs is being stopped, by an emergency stop
#: or because what ran beside it failed · the rest are ends.
Phase: TypeAlias = Literal[
    "none",
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
#: Attempts of any one stage before it counts as an infinite loop; architecture section 6.
ATTEMPTS = 5


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task's state. What stages found out accumulates in `input`, which is what the next stage gets."""

    task_id: str = ""
    phase: Phase = "none"
    input: StageInput | None = None
    depends_on: tuple[str, ...] = ()
    request_digest: str = ""
    batch: str = ""
    on_failed_dependency: OnFailedDependency = "park"
    synthetic: bool = False
    #: In which class it waits; at first that of its file.
    priority: Priority = "normal"
    #: What runs, ran last, or is gone on with after a wait.
    stage: Activity = "spec"
    run_id: str = ""
    #: The workspace that is made ready while `stage` runs.
    beside: str = ""
    #: The one of two runs beside each other that failed, while the other is being stopped.
    failed: RunJoined | None = None
    attempts: dict[Activity, int] = msgspec.field(default_factory=dict)
    #: How often the present attempt of each was run again.
    retries: dict[Activity, int] = msgspec.field(default_factory=dict)
    #: Failures that resolution was asked about.
    troubles: int = 0
    #: Passing failures of the present attempt, or of the present probe.
    failures: int = 0
    #: Allowances of attempts: one, and one more for every `retry` of a person.
    allowance: int = 1
    #: Tasks whose changes its tree has to contain because their planned files overlapped with its own.
    after: tuple[str, ...] = ()
    #: Whether the next plan is the same attempt, made on another tree.
    anew: bool = False
    #: Whether a start goes on with `stage` where it was left instead of making a new attempt.
    resume: bool = False
    #: Gates asked and not answered: gate number to review id.
    pending: dict[int, str] = msgspec.field(default_factory=dict)
    rounds: dict[int, int] = msgspec.field(default_factory=dict)
    #: Gates that approved, with the trees they judged.
    approved: dict[int, dict[str, str]] = msgspec.field(default_factory=dict)
    #: Gates that refused in this round, and what they found.
    refused: tuple[int, ...] = ()
    findings: tuple[Problem, ...] = ()
    skipped: frozenset[Stage] = frozenset()
    monitor_until: datetime | None = None
    #: The last grant of tokens, with all that was added to it; None for a task that has had none.
    grant: TokenGrant | None = None
    #: Tokens that its next run needs, where the last one did not get enough.
    wanted: int = 0
    #: Who asked for the cancellation that is under way.
    cancelled_by: str = ""
    cancel_reason: str = ""
    #: Why it is parked, from a closed vocabulary.
    parked: str = ""
    #: When that ends by itself.
    parked_until: datetime | None = None
    waits_for: str = ""
    waits_on: str = ""
    reason: str = ""
    incident_id: str = ""
    #: The last incident, kept for the retry that goes on from it.
    incident: IncidentReport | None = None

    @property
    def spec(self) -> TaskSpec:
        """Return the task file."""
        assert self.input is not None, "a task that was never submitted has no specification"
        return self.input.spec

    @property
    def live(self) -> dict[str, Activity]:
        """List what is under way for it: run id to what it is for."""
        runs: dict[str, Activity] = {self.run_id: self.stage, self.beside: "workspace"}
        return {run_id: activity for run_id, activity in runs.items() if run_id}

    @property
    def ended(self) -> bool:
        """Tell whether it is over."""
        return self.phase in ENDS

    @property
    def retryable(self) -> bool:
        """Tell whether `retry` has it go on: nobody takes files away from the task that changes them."""
        parked = self.phase == "parked" and self.parked != "files_overlap"
        return parked or self.phase in ("incident", "cancelled")

    @property
    def fulfilled(self) -> bool:
        """Tell whether what depends on it may start: it is done, or in monitor after a probe that passed."""
        watched = self.monitor_until is not None and not self.ended and self.phase != "cancelling"
        return self.phase == "done" or watched

    @property
    def tokens_before(self) -> int:
        """Return how many tokens it may have spent so far: what became of the last grant is not known here."""
        return self.grant.before + self.grant.tokens if self.grant else 0

    @property
    def pull_requests(self) -> tuple[PullRequestRef, ...]:
        """List what it has opened."""
        return self.input.pull_requests if self.input else ()

    def awaits(self, number: int) -> bool:
        """Tell whether an answer about this failure is still waited for; 0 if it does not say which one."""
        return self.phase == "resolving" and number in (0, self.troubles)


def evolve(state: Task, event: TaskEvent) -> Task:
    """Fold one event into the task."""
    replace = msgspec.structs.replace
    match event:
        case TaskSubmitted():
            return Task(
                task_id=event.task_id,
                phase="queued",
                input=StageInput(spec=event.spec),
                depends_on=event.depends_on,
                request_digest=event.request_digest,
                batch=event.batch,
                on_failed_dependency=event.on_failed_dependency,
                synthetic=event.spec.synthetic,
                priority=event.spec.priority,
            )
        case TaskAdmitted(bases=bases):
            return replace(
                state, input=replace(state.input, bases=bases or _bases(state)) if state.input else None
            )
        case StageRequested():
            # A new plan voids what the gates said of the old one, and what was left out for it.
            planned = event.stage == "plan"
            return replace(
                state,
                phase="running",
                approved={} if planned else state.approved,
                skipped=frozenset() if planned else state.skipped,
                anew=state.anew and not planned,
                # Another change gets a whole window of its own.
                monitor_until=state.monitor_until if event.stage == "monitor" else None,
                stage=event.stage,
                run_id=event.run_id,
                beside="",
                failed=None,
                failures=event.failures,
                attempts={**state.attempts, event.stage: event.attempt},
                retries={**state.retries, event.stage: event.retry},
                input=whole(state.input, event.input),
                pending={},
                refused=(),
                findings=(),
                resume=False,
                grant=event.tokens or state.grant,
                wanted=0,
            )
        case TokensGranted(tokens=tokens):
            known = state.grant
            return replace(state, grant=known and replace(known, tokens=known.tokens + tokens))
        case TokensRefused(wanted=wanted):
            return replace(state, wanted=wanted)
        case TaskBudgetChanged(tokens=tokens):
            spec = replace(state.spec, budget=replace(state.spec.budget, tokens=tokens))
            return replace(state, input=state.input and replace(state.input, spec=spec))
        case WorkspaceRequested(run_id=run_id):
            state = replace(
                state,
                failures=event.failures,
                attempts={**state.attempts, event.stage: event.attempt},
                retries={**state.retries, event.stage: event.retry},
            )
            if event.beside:
                return replace(state, beside=run_id)
            return replace(
                state,
                phase="running",
                stage=event.stage,
                run_id=run_id,
                beside="",
                failed=None,
                input=whole(state.input, event.input),
                pending={},
                resume=False,
            )
        case WithdrawalRequested(run_id=run_id):
            return replace(
                state,
                phase="cancelling",
                stage=event.stage,
                run_id=run_id,
                beside="",
                failed=None,
                attempts={**state.attempts, event.stage: event.attempt},
                pending={},
                parked="",
                parked_until=None,
                reason="",
                waits_on="",
                waits_for="",
            )
        case RunJoined(run_id=run_id):
            failed = event if event.failure else state.failed
            if event.outcome != "completed" or event.subject is None:
                return replace(state, failed=failed, **{"beside" if run_id == state.beside else "run_id": ""})
            state = replace(state, input=whole(state.input, event.subject))
            if run_id == state.beside:
                return replace(state, beside="")
            return replace(state, stage="workspace", run_id=state.beside, beside="")
        case GateAnswered(gate=gate, verdict=verdict):
            pending = {key: value for key, value in state.pending.items() if key != gate}
            approved = {**state.approved, gate: event.trees} if verdict == "approve" else state.approved
            refused = state.refused if verdict in ("approve", "abstain") else (*state.refused, gate)
            findings = (*state.findings, *event.findings)
            return replace(state, pending=pending, approved=approved, refused=refused, findings=findings)
        case ResolutionAwaited(subject=subject, number=number):
            return replace(
                state,
                troubles=number,
                input=replace(state.input, worked_s=subject.worked_s) if state.input else None,
                phase="resolving",
                run_id="",
                beside="",
                failed=None,
                pending={},
                refused=(),
                findings=(),
            )
        case StageSkipped(stage=stage):
            return replace(state, skipped=state.skipped | {stage})
        case GateRequested(gate=gate):
            return replace(
                state,
                phase="gating",
                run_id="",
                stage=event.stage,
                pending={**state.pending, gate: event.review_id},
                rounds={**state.rounds, gate: event.round},
                input=whole(state.input, event.subject),
            )
        case StageCancelRequested():
            return replace(state, phase="cancelling" if state.cancelled_by else "suspending")
        case TaskCancelRequested(actor=actor, reason=reason):
            return replace(state, cancelled_by=actor, cancel_reason=reason)
        case TaskParked():
            return _parked_at(
                state,
                event,
                phase="parked",
                parked=event.code,
                parked_until=event.until,
                reason=event.reason,
                waits_on=event.owner,
                waits_for=event.wake_up,
                run_id="",
                beside="",
                failed=None,
                pending={},
                failures=state.failures + (event.code in ("backing_off", "rate_limited")),
            )
        case TaskUnparked(after=after):
            return replace(
                state,
                phase="queued",
                parked="",
                parked_until=None,
                reason="",
                waits_on="",
                waits_for="",
                after=tuple(dict.fromkeys((*state.after, *after))),
            )
        case MemoryCeilingChanged(memory_mb=memory):
            budget = replace(state.spec.budget, memory_mb=memory)
            spec = replace(state.spec, budget=budget)
            return replace(state, input=replace(state.input, spec=spec) if state.input else None)
        case MonitorWaitStarted(until=until):
            return replace(state, phase="waiting", failures=0, monitor_until=until, run_id="", resume=True)
        case InfiniteLoopDetected():
            return state
        case TaskRetried():
            fresh = StageInput(
                spec=state.spec,
                bases=_bases(state),
                pull_requests=state.pull_requests,
                incident=state.incident,
            )
            return replace(
                state,
                phase="queued",
                stage="spec",
                allowance=state.allowance + 1,
                input=fresh,
                approved={},
                run_id="",
                reason="",
                incident_id="",
                cancelled_by="",
                resume=False,
                anew=False,
                # What it had has been given up: it is not there before another change is.
                monitor_until=None,
                wanted=0,
            )
        case TaskPriorityChanged(priority=priority):
            return replace(state, priority=priority)
        case TaskDone():
            return replace(state, phase="done", run_id="")
        case TaskCancelled(reason=reason, left=left):
            said = "; ".join(filter(None, (reason, *left)))
            return replace(
                state, phase="cancelled", run_id="", beside="", failed=None, pending={}, reason=said
            )
        case TaskGivenUp(incident_id=incident_id, reason=reason, report=report):
            return replace(
                state,
                phase="incident",
                run_id="",
                reason=reason,
                incident_id=incident_id,
                incident=report or _unreported(state, event),
            )
        case _:
            assert_never(event)


def _parked_at(state: Task, event: TaskParked, **values: Any) -> Task:
    """Note where a parked task goes on."""
    replace, known, again = msgspec.structs.replace, state.input, state.stage in state.attempts
    if event.code == "files_overlap" and known is not None:
        # What others change meanwhile it has to see: specification and plan are made again.
        plan = replace(known, plan=None)
        return replace(state, stage="spec", input=plan, anew=True, resume=True, **values)
    if event.next_stage is not None and event.subject is not None:
        known = whole(known, event.subject)
        return replace(state, stage=event.next_stage, input=known, resume=False, **values)
    return replace(state, resume=again, **values)


def _unreported(state: Task, event: TaskGivenUp) -> IncidentReport:
    """Tell of an incident from before incidents were reported on."""
    return IncidentReport(
        incident_id=event.incident_id,
        stage=state.stage,
        code="",
        reason=event.reason,
        path=f"incidents/{event.incident_id}",
        reproduction=Reproduction(gave="not_tried"),
    )


def _bases(state: Task) -> tuple[BaseRef, ...]:
    return state.input.bases if state.input else ()
