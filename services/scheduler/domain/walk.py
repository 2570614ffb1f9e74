"""How a task walks from stage to stage; every way forward and back is in this file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import msgspec

from contracts.gate import GateDecided
from contracts.resolution import IncidentFiled, PlanDeltaRecorded
from contracts.stage import StageCancelled, StageCompleted, StageFailed
from contracts.task import (
    Failure,
    GateAnswered,
    GateRequested,
    InfiniteLoopDetected,
    MonitorWaitStarted,
    ResolutionAwaited,
    Stage,
    StageCancelRequested,
    StageInput,
    StageRequested,
    StageSkipped,
    TaskAdmitted,
    TaskCancelled,
    TaskCancelRequested,
    TaskDone,
    TaskEvent,
    TaskGivenUp,
    TaskParked,
    TaskRetried,
    TaskSubmitted,
    TaskUnparked,
    run_id_of,
)
from libs.eventsourcing.decider import Decider
from services.scheduler.domain import state as states
from services.scheduler.domain.commands import (
    Cancel,
    Conditions,
    Halt,
    LoseDependency,
    News,
    Observe,
    Retry,
    RetryStage,
    Start,
    Submit,
    TaskCommand,
    Unpark,
)
from services.scheduler.domain.proof import evidence_lacking, proof_lacking
from services.scheduler.domain.state import ATTEMPTS, Task

#: Gates asked after a stage; architecture section 6. All of one row are asked at once.
GATES_AFTER: dict[Stage, tuple[int, ...]] = {"plan": (0,), "verify": (1, 2, 3), "review": (4, 5)}
#: Rounds of one gate without a quorum before a person is asked.
QUORUM_ROUNDS = 3
#: Probes within a monitor window, and the bounds of the time between them in seconds.
PROBES, PROBE_MIN_S, PROBE_MAX_S = 10, 5, 300
#: Phases in which no stage of a task runs.
_BETWEEN = ("queued", "waiting", "resolving", "gating")


def decide(command: TaskCommand, state: Task) -> Iterator[TaskEvent]:
    """Decide what a command means for a task; what is already so, or too late, is silence."""
    match command:
        case Submit():
            if state.phase == "none":
                yield TaskSubmitted(
                    task_id=command.task_id,
                    spec=command.spec,
                    submitted_at=command.now,
                    depends_on=command.depends_on,
                    request_digest=command.request_digest,
                    batch=command.batch,
                    on_failed_dependency=command.on_failed_dependency,
                )
        case Start():
            yield from _start(state, command)
        case Observe(news=news):
            yield from _observe(command, news, state)
        case RetryStage(conditions=conditions):
            if state.phase == "resolving":
                yield from _request(
                    state, state.stage, _input(state), conditions, again=True, failures=state.failures + 1
                )
        case LoseDependency():
            yield from _lose(command, state)
        case Unpark(reason=reason):
            if state.phase == "parked":
                yield TaskUnparked(task_id=state.task_id, reason=reason)
        case Halt():
            if state.phase == "running":
                yield _stop_stage(state, "emergency stop")
        case Cancel(actor=actor, reason=reason):
            yield from _cancel(state, actor, reason)
        case Retry(actor=actor):
            if state.phase in ("incident", "cancelled"):
                yield TaskRetried(task_id=state.task_id, actor=actor)
            elif state.phase == "parked":
                yield TaskUnparked(task_id=state.task_id, reason=f"retried by {actor}")


def _start(state: Task, command: Start) -> Iterator[TaskEvent]:
    bases = command.bases
    if state.phase == "parked":
        yield TaskUnparked(task_id=state.task_id, reason="what it waited for is there")
    elif state.phase not in ("queued", "waiting"):
        return
    yield TaskAdmitted(task_id=state.task_id, bases=bases)
    given = msgspec.structs.replace(_input(state), bases=bases or _input(state).bases)
    yield from _request(state, state.stage, given, command.conditions, again=state.resume)


def _lose(command: LoseDependency, state: Task) -> Iterator[TaskEvent]:
    lost, reason = command.dependency, f"it depends on {command.dependency}, which ended as {command.outcome}"
    if state.on_failed_dependency == "cancel" and state.phase in (*_BETWEEN, "parked"):
        yield TaskCancelled(task_id=state.task_id, actor="scheduler", reason=reason)
    elif state.on_failed_dependency == "park" and state.phase in _BETWEEN:
        yield TaskParked(
            task_id=state.task_id,
            code="dependency_broken",
            reason=reason,
            owner="operator",
            wake_up=f"{lost} done (autopilot retry {lost}), or autopilot cancel",
        )


def _observe(command: Observe, news: News, state: Task) -> Iterator[TaskEvent]:
    conditions = command.conditions
    match news:
        case StageCompleted() | StageFailed() | StageCancelled() if news.run_id != state.run_id:
            return  # of an earlier run
        case StageCompleted() | StageFailed() | StageCancelled() if state.phase == "cancelling":
            yield TaskCancelled(task_id=state.task_id, actor=state.cancelled_by, reason=state.cancel_reason)
        case StageFailed() | StageCancelled() if state.phase == "suspending":
            # Operation may be normal again by now: then nothing would ever wake what is parked here.
            yield from _request(state, state.stage, _input(state), conditions, again=True)
        case StageCompleted() if state.phase in ("running", "suspending"):
            yield from _after_stage(command, news, state)
        case StageFailed() if state.phase == "running":
            yield _await_stage_resolution(state, news)
        case GateDecided():
            yield from _after_gate(conditions, news, state)
        case PlanDeltaRecorded(delta=delta) if state.phase == "resolving":
            known = states.with_delta(state, delta)
            # What has no specification yet cannot be planned: a failed `spec` is made again itself.
            yield from _request(state, "plan" if known.specification else "spec", known, conditions)
        case IncidentFiled() if state.phase == "resolving":
            yield TaskGivenUp(
                task_id=state.task_id,
                incident_id=news.incident_id,
                reason=news.reason,
                report=news.report,
            )
        case _:
            return


def _after_stage(command: Observe, news: StageCompleted, state: Task) -> Iterator[TaskEvent]:
    known = states.merged(state, news)
    conditions = command.conditions
    match news.stage:
        case "spec":
            yield from _request(state, "plan", known, conditions)
        case "plan" | "verify" | "review":
            yield from _ask_gates(state, news.stage, known)
        case "think":
            yield from _request(state, "implement", known, conditions)
        case "implement":
            yield from _request(state, "verify", known, conditions)
        case "pr":
            yield from _request(state, "monitor", known, conditions)
        case "monitor":
            yield from _after_probe(command, known, state)


def _after_gate(conditions: Conditions, news: GateDecided, state: Task) -> Iterator[TaskEvent]:
    if state.phase != "gating" or state.pending.get(news.gate) != news.review_id:
        return  # of an earlier round, or the task has gone on
    answered = GateAnswered(
        task_id=state.task_id,
        review_id=news.review_id,
        gate=news.gate,
        verdict=news.verdict,
        trees=news.trees,
        findings=news.findings,
    )
    yield answered
    state = states.evolve(state, answered)
    stage = state.stage
    if state.refused:
        if not state.pending:
            yield _await_gate_resolution(state)
    elif news.verdict == "abstain":
        if news.round < QUORUM_ROUNDS:
            yield _gate_request(state, news.gate, stage, _input(state))
        else:
            yield _ask_person(
                state, "no_quorum", f"gate {news.gate} reached no quorum in {news.round} rounds"
            )
    elif not state.pending:
        yield from _after_gates(conditions, stage, state)


def _after_gates(conditions: Conditions, stage: Stage, state: Task) -> Iterator[TaskEvent]:
    known = _input(state)
    match stage:
        case "plan":
            if reason := _no_thinking_needed(known):
                yield StageSkipped(task_id=state.task_id, stage="think", reason=reason)
                yield from _request(state, "implement", known, conditions)
            else:
                yield from _request(state, "think", known, conditions)
        case "verify" if conditions.mode == "minimal":
            skipped = StageSkipped(task_id=state.task_id, stage="review", reason="mode is minimal")
            yield skipped
            state = states.evolve(state, skipped)
            yield from _open_pull_request(conditions, msgspec.structs.replace(known, draft=True), state)
        case "verify":
            yield from _request(state, "review", known, conditions)
        case _:
            yield from _open_pull_request(conditions, msgspec.structs.replace(known, draft=False), state)


def _await_stage_resolution(state: Task, news: StageFailed) -> ResolutionAwaited:
    known = states.merged(state, news)
    return ResolutionAwaited(
        task_id=state.task_id,
        stage=news.stage,
        cause=news.run_id,
        failure=news.failure,
        retry=state.failures,
        subject=known,
        evidence=news.evidence,
    )


def _await_gate_resolution(state: Task) -> ResolutionAwaited:
    gates = ", ".join(str(gate) for gate in sorted(state.refused))
    first = state.findings[0].detail if state.findings else "no reason was given"
    failure = Failure(
        kind="persistent",
        code="gate_refused",
        detail=f"refused by gate {gates}: {first}",
        findings=state.findings,
    )
    return ResolutionAwaited(
        task_id=state.task_id,
        stage=state.stage,
        cause=f"{state.task_id} gates {gates}",
        failure=failure,
        gates=tuple(sorted(state.refused)),
        subject=_input(state),
    )


def _open_pull_request(conditions: Conditions, known: StageInput, state: Task) -> Iterator[TaskEvent]:
    if lacking := evidence_lacking(known, state):
        yield _unproven(state, lacking)
        return
    yield from _request(state, "pr", msgspec.structs.replace(known, approvals=_approvals(state)), conditions)


def _after_probe(command: Observe, known: StageInput, state: Task) -> Iterator[TaskEvent]:
    window = max(repo.monitor.window_s for repo in state.spec.repos)
    until = state.monitor_until or command.now + timedelta(seconds=window)
    if command.now < until:
        pause = min(max(window / PROBES, PROBE_MIN_S), PROBE_MAX_S)
        next_probe = min(command.now + timedelta(seconds=pause), until)
        yield MonitorWaitStarted(task_id=state.task_id, until=until, next_probe=next_probe)
    elif lacking := proof_lacking(known, state):
        yield _unproven(state, lacking)
    else:
        yield TaskDone(task_id=state.task_id, pull_requests=known.pull_requests, approvals=_approvals(state))


def _unproven(state: Task, lacking: str) -> TaskParked:
    """Invariant 8's last net: it cannot catch anything while the walk is whole; a person has to see it if it does."""
    return _ask_person(state, "proof_missing", f"proof is missing: {lacking}")


def _ask_person(state: Task, code: Literal["no_quorum", "proof_missing"], reason: str) -> TaskParked:
    return TaskParked(
        task_id=state.task_id,
        code=code,
        reason=reason,
        owner="operator",
        wake_up=f"autopilot retry {state.task_id}",
    )


def _approvals(state: Task) -> tuple[str, ...]:
    return tuple(f"gate {gate}: approve" for gate in sorted(state.approved))


def _ask_gates(state: Task, stage: Stage, subject: StageInput) -> Iterator[TaskEvent]:
    for gate in GATES_AFTER[stage]:
        request = _gate_request(state, gate, stage, subject)
        yield request
        state = states.evolve(state, request)


def _gate_request(state: Task, gate: int, stage: Stage, subject: StageInput) -> GateRequested:
    number = state.rounds.get(gate, 0) + 1
    return GateRequested(
        task_id=state.task_id,
        review_id=f"{state.task_id}-{gate}-{number}",
        gate=gate,
        round=number,
        stage=stage,
        subject=_slim(subject, stage),
    )


def _request(
    state: Task,
    stage: Stage,
    known: StageInput,
    conditions: Conditions,
    *,
    again: bool = False,
    failures: int = 0,
) -> Iterator[TaskEvent]:
    """Ask for a stage: the same attempt `again`, or the next one, unless it would be one too many."""
    if conditions.mode == "emergency-stop":
        yield _halted(state) if again else _halted(state, stage, known)
        return
    done = state.attempts.get(stage, 0)
    attempt = max(done, 1) if again else done + 1
    retry = state.retry + 1 if again and done else 0
    if attempt > ATTEMPTS * state.allowance:
        yield InfiniteLoopDetected(task_id=state.task_id, stage=stage, attempts=done)
        detail = f"{stage} was attempted {done} times; more would be a loop"
        yield ResolutionAwaited(
            task_id=state.task_id,
            stage=stage,
            cause=f"{state.task_id} {stage}",
            failure=Failure(kind="impossible", code="infinite_loop", detail=detail),
            subject=known,
        )
        return
    yield StageRequested(
        task_id=state.task_id,
        run_id=run_id_of(state.task_id, stage, attempt, retry),
        stage=stage,
        attempt=attempt,
        retry=retry,
        failures=failures,
        input=_slim(known, stage),
    )


def _cancel(state: Task, actor: str, reason: str) -> Iterator[TaskEvent]:
    if state.phase in ("none", "cancelling") or state.ended:
        return
    yield TaskCancelRequested(task_id=state.task_id, actor=actor, reason=reason)
    if state.phase in ("running", "suspending"):
        yield _stop_stage(state, reason or f"cancelled by {actor}")
    else:
        yield TaskCancelled(task_id=state.task_id, actor=actor, reason=reason)


def _stop_stage(state: Task, reason: str) -> StageCancelRequested:
    return StageCancelRequested(
        task_id=state.task_id,
        run_id=state.run_id,
        stage=state.stage,
        attempt=state.attempts.get(state.stage, 1),
        reason=reason,
    )


def _halted(state: Task, stage: Stage | None = None, known: StageInput | None = None) -> TaskParked:
    return TaskParked(
        task_id=state.task_id,
        code="emergency_stop",
        reason="emergency stop",
        owner="operator",
        wake_up="autopilot mode normal",
        next_stage=stage,
        subject=_slim(known, stage) if known and stage else None,
    )


def _no_thinking_needed(known: StageInput) -> str:
    """Say why `think` may be left out; empty when it is called for (architecture section 6)."""
    specification = known.specification
    failed_before = known.delta is not None or known.incident is not None
    if known.spec.priority == "urgent" or failed_before or specification is None:
        return ""
    if specification.risk == "high" or specification.ambiguities:
        return ""
    return "not urgent, risk is not high, the specification is clear and nothing has failed yet"


def _slim(known: StageInput, stage: Stage) -> StageInput:
    """Leave the patch text out where it is not needed: it would be stored with every event."""
    if stage in ("spec", "plan", "implement") or known.spec.patch is None:
        return known
    return msgspec.structs.replace(known, spec=msgspec.structs.replace(known.spec, patch=None))


def _input(state: Task) -> StageInput:
    assert state.input is not None, "the task was never submitted"
    return state.input


task: Decider[TaskCommand, Task] = Decider("task", Task(), decide, states.evolve)
