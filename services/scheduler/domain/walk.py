"""How a task walks from stage to stage; every way forward and back is in this file."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.gate import GateDecided
from contracts.resolution import IncidentFiled, PlanDeltaRecorded, StageRetryAdvised
from contracts.stage import TOKENS_EXHAUSTED, StageCancelled, StageCompleted, StageFailed
from contracts.task import (
    Activity,
    Failure,
    MemoryCeilingChanged,
    ResolutionAwaited,
    StageInput,
    StageSkipped,
    TaskAdmitted,
    TaskBudgetChanged,
    TaskEvent,
    TaskGivenUp,
    TaskParked,
    TaskPriorityChanged,
    TaskRetried,
    TaskSubmitted,
    TaskUnparked,
)
from libs.eventsourcing.decider import Decider
from services.scheduler.domain import state as states
from services.scheduler.domain.asking import ask, known_of
from services.scheduler.domain.commands import (
    Cancel,
    ChangeBudget,
    Conditions,
    Halt,
    LoseDependency,
    News,
    Observe,
    Prioritise,
    Retry,
    RetryStage,
    Start,
    Submit,
    TaskCommand,
    TopUp,
    Unpark,
)
from services.scheduler.domain.ends import (
    after_cancelling,
    after_probe,
    approvals,
    cancel,
    lose,
    unproven,
    wait_for_files,
)
from services.scheduler.domain.gates import ask_gates, hear
from services.scheduler.domain.joining import RunEnd, about, join, noted, stop_runs
from services.scheduler.domain.known import is_prepared, with_delta, with_end
from services.scheduler.domain.mode import left_out
from services.scheduler.domain.proof import evidence_lacking
from services.scheduler.domain.state import Task
from services.scheduler.domain.topping import topped_up
from services.scheduler.domain.waiting import back_off


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
        case TopUp(news=news, purse=purse):
            if state.phase == "running" and news.run_id in state.live:
                yield topped_up(state, news, purse)
        case ChangeBudget(tokens=tokens, actor=actor):
            if state.phase != "none" and tokens != state.spec.budget.tokens:
                yield TaskBudgetChanged(task_id=state.task_id, tokens=tokens, actor=actor)
                if state.phase == "parked" and state.parked == "tokens":
                    yield TaskUnparked(task_id=state.task_id, reason=f"{actor} changed its budget")
        case RetryStage(conditions=conditions):
            if state.phase == "resolving":
                yield from ask(
                    state, state.stage, known_of(state), conditions, again=True, failures=state.failures + 1
                )
        case LoseDependency():
            yield from lose(command, state)
        case Unpark(reason=reason, codes=codes, after=after):
            if state.phase == "parked" and (not codes or state.parked in codes):
                yield TaskUnparked(task_id=state.task_id, reason=reason, after=after)
        case Halt():
            if state.phase == "running":
                yield from stop_runs(state, "emergency stop", keeps=True)
        case Cancel(actor=actor, reason=reason):
            yield from cancel(state, actor, reason)
        case Prioritise(priority=priority, actor=actor):
            if state.phase != "none" and not state.ended and priority != state.priority:
                yield TaskPriorityChanged(
                    task_id=state.task_id, priority=priority, before=state.priority, actor=actor
                )
        case Retry(actor=actor, memory_mb=memory_mb) if state.retryable:
            if memory_mb is not None and memory_mb != state.spec.budget.memory_mb:
                yield MemoryCeilingChanged(
                    task_id=state.task_id,
                    memory_mb=memory_mb,
                    before=state.spec.budget.memory_mb,
                    actor=actor,
                )
            if state.phase == "parked":
                yield TaskUnparked(task_id=state.task_id, reason=f"retried by {actor}")
            else:
                yield TaskRetried(task_id=state.task_id, actor=actor)


def _start(state: Task, command: Start) -> Iterator[TaskEvent]:
    bases = command.bases
    if state.phase == "parked":
        yield TaskUnparked(task_id=state.task_id, reason="what it waited for is there")
    elif state.phase not in ("queued", "waiting"):
        return
    if command.conditions.overlap is not None:
        yield wait_for_files(state, command.conditions.overlap)
        return
    given = msgspec.structs.replace(known_of(state), bases=bases or known_of(state).bases)
    failures = state.failures if state.resume else 0
    asked = [*ask(state, state.stage, given, command.conditions, again=state.resume, failures=failures)]
    # A task starts only if its first grant fits.
    if not any(isinstance(event, TaskParked) and event.code == "tokens" for event in asked):
        yield TaskAdmitted(task_id=state.task_id, bases=bases)
    yield from asked


def _observe(command: Observe, news: News, state: Task) -> Iterator[TaskEvent]:
    conditions = command.conditions
    match news:
        case StageCompleted() | StageFailed() | StageCancelled() if news.run_id not in state.live:
            return  # of an earlier run
        case StageCompleted() | StageFailed() | StageCancelled() if len(state.live) > 1:
            yield from join(news, state)
        case StageCompleted() | StageFailed() | StageCancelled():
            yield from _after_run(command, news, state)
        case GateDecided():
            if (approved := (yield from hear(news, state))) is not None:
                yield from _after_gates(conditions, approved)
        case StageRetryAdvised() | PlanDeltaRecorded() | IncidentFiled() if not state.awaits(news.number):
            return  # about an earlier failure
        case StageRetryAdvised():
            yield from back_off(news, command.now, state)
        case PlanDeltaRecorded(delta=delta):
            known = with_delta(known_of(state), delta)
            # What has no specification yet cannot be planned: a failed `spec` is made again itself.
            yield from ask(state, "plan" if known.specification else "spec", known, conditions)
        case IncidentFiled():
            yield TaskGivenUp(
                task_id=state.task_id,
                incident_id=news.incident_id,
                reason=news.reason,
                report=news.report,
            )
        case _:
            return


def _after_run(command: Observe, news: RunEnd, state: Task) -> Iterator[TaskEvent]:
    """Go on after the only run that was under way, or the last of two."""
    if state.phase == "cancelling":
        yield from after_cancelling(news, state)
    elif (failed := state.failed) is not None:
        if isinstance(news, StageCompleted):
            joined = noted(news, state)
            yield joined
            state = states.evolve(state, joined)
        if _lacks_tokens(failed.failure):
            yield from _again(command, failed.stage, state)
        else:
            yield about(failed, state)
    elif isinstance(news, StageCompleted) and _lacks_the_other(news, state):
        joined = noted(news, state)
        yield joined
        state = states.evolve(state, joined)
        yield from ask(state, state.stage, known_of(state), command.conditions, again=True)
    elif isinstance(news, StageCompleted) and state.phase in ("running", "suspending"):
        yield from _after_stage(command, news, state)
    elif state.phase == "suspending":
        # Operation may be normal again by now: then nothing would ever wake what is parked here.
        yield from ask(state, state.stage, known_of(state), command.conditions, again=True)
    elif isinstance(news, StageFailed) and _lacks_tokens(news.failure):
        yield from _again(command, news.stage, state)
    elif isinstance(news, StageFailed) and state.phase == "running":
        yield _await_stage_resolution(state, news)


def _lacks_tokens(failure: Failure | None) -> bool:
    """Tell whether nothing has failed but to get tokens: then the run is made again when there are some."""
    return failure is not None and failure.code == TOKENS_EXHAUSTED


def _again(command: Observe, stage: Activity, state: Task) -> Iterator[TaskEvent]:
    yield from ask(state, stage, known_of(state), command.conditions, again=True, failures=state.failures)


def _lacks_the_other(news: StageCompleted, state: Task) -> bool:
    """Tell whether the run that was beside this one was stopped before it had done its work."""
    if news.stage == "think":
        return not is_prepared(known_of(state))
    return news.run_id == state.beside


def _after_stage(command: Observe, news: StageCompleted, state: Task) -> Iterator[TaskEvent]:
    known = with_end(known_of(state), news)
    conditions = command.conditions
    match news.stage:
        case "spec":
            yield from ask(state, "plan", known, conditions, again=state.anew)
        case "plan" | "verify" | "review":
            yield from ask_gates(state, news.stage, known)
        case "think" | "workspace":
            yield from ask(state, "implement", known, conditions)
        case "implement":
            yield from ask(state, "verify", known, conditions)
        case "pr":
            yield from ask(state, "monitor", known, conditions)
        case "monitor":
            yield from after_probe(command, known, state)


def _after_gates(conditions: Conditions, state: Task) -> Iterator[TaskEvent]:
    known = known_of(state)
    match state.stage:
        case "plan" if conditions.overlap is not None:
            yield wait_for_files(state, conditions.overlap)
        case "plan":
            if reason := _no_thinking(known, conditions):
                yield StageSkipped(task_id=state.task_id, stage="think", reason=reason)
                yield from ask(state, "implement" if is_prepared(known) else "workspace", known, conditions)
            else:
                yield from ask(state, "think", known, conditions)
        case "verify" if "review" in left_out(conditions.mode):
            reason = f"mode is {conditions.mode}"
            skipped = StageSkipped(task_id=state.task_id, stage="review", reason=reason)
            yield skipped
            state = states.evolve(state, skipped)
            yield from _open_pull_request(conditions, msgspec.structs.replace(known, draft=True), state)
        case "verify":
            yield from ask(state, "review", known, conditions)
        case _:
            yield from _open_pull_request(conditions, msgspec.structs.replace(known, draft=False), state)


def _await_stage_resolution(state: Task, news: StageFailed) -> ResolutionAwaited:
    known = with_end(known_of(state), news)
    return ResolutionAwaited(
        task_id=state.task_id,
        stage=news.stage,
        cause=news.run_id,
        failure=news.failure,
        retry=state.failures,
        number=state.troubles + 1,
        subject=known,
        evidence=news.evidence,
    )


def _open_pull_request(conditions: Conditions, known: StageInput, state: Task) -> Iterator[TaskEvent]:
    if lacking := evidence_lacking(known, state):
        yield unproven(state, lacking)
        return
    yield from ask(state, "pr", msgspec.structs.replace(known, approvals=approvals(state)), conditions)


def _no_thinking(known: StageInput, conditions: Conditions) -> str:
    """Say why `think` is left out; empty when it is called for (architecture section 6)."""
    if "think" in left_out(conditions.mode):
        return f"mode is {conditions.mode}"
    specification = known.specification
    failed_before = known.delta is not None or known.incident is not None
    if known.spec.priority == "urgent" or failed_before or specification is None:
        return ""
    if specification.risk == "high" or specification.ambiguities:
        return ""
    return "not urgent, risk is not high, the specification is clear and nothing has failed yet"


task: Decider[TaskCommand, Task] = Decider("task", Task(), decide, states.evolve)
