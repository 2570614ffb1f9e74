"""Asking for a run: which attempt it is, what it gets, and when it is not asked for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.budget import task_scope
from contracts.task import (
    Activity,
    Failure,
    InfiniteLoopDetected,
    ResolutionAwaited,
    StageInput,
    StageRequested,
    TaskEvent,
    TaskParked,
    WorkspaceRequested,
    run_id_of,
)
from services.scheduler.domain.ceiling import parked, shortfall
from services.scheduler.domain.commands import Conditions
from services.scheduler.domain.known import is_prepared, slim
from services.scheduler.domain.mode import set_aside
from services.scheduler.domain.purse import Shortage
from services.scheduler.domain.state import ATTEMPTS, Task

#: Seconds that a workspace gets for clone and checkout, on top of what its commands may take one after the other.
CHECKOUT_S = 120.0


def ask(
    state: Task,
    stage: Activity,
    known: StageInput,
    conditions: Conditions,
    *,
    again: bool = False,
    failures: int = 0,
) -> Iterator[TaskEvent]:
    """Ask for a run: the same attempt `again`, or the next one, unless it would be one too many of a stage.

    While a task thinks, its workspace is made ready beside it.
    """
    assert stage != "withdrawal", "a task that is being cancelled goes on with nothing"
    given = slim(known, stage)
    # A wait goes on with the attempt that it interrupts, or with this stage, which has not been asked for yet.
    next_stage, subject = (None, None) if again else (stage, given)
    if aside := set_aside(conditions.mode, stage, known):
        code, reason = aside
        yield TaskParked(
            task_id=state.task_id,
            code=code,
            reason=reason,
            owner="operator",
            wake_up="autopilot mode normal",
            next_stage=next_stage,
            subject=subject,
        )
        return
    if known.worked_s >= known.spec.budget.task_s:
        yield _out_of_time(state, stage, known)
        return
    if stage == "implement" and (found := shortfall(known)):
        yield parked(state.task_id, found, slim(known, "workspace"))
        return
    if stage == "workspace":
        yield _workspace(state, known, again, failures)
        return
    attempt, retry = _numbers(state, stage, again)
    if attempt > ATTEMPTS * state.allowance:
        yield InfiniteLoopDetected(task_id=state.task_id, stage=stage, attempts=attempt - 1)
        detail = f"{stage} was attempted {attempt - 1} times; more would be a loop"
        yield _not_begun(state, stage, known, "infinite_loop", detail)
        return
    granted = conditions.purse.offer(state, stage) if conditions.purse else None
    if isinstance(granted, Shortage):
        yield msgspec.structs.replace(_short(state, granted), next_stage=next_stage, subject=subject)
        return
    run_id = run_id_of(state.task_id, stage, attempt, retry)
    yield StageRequested(
        task_id=state.task_id,
        run_id=run_id,
        stage=stage,
        attempt=attempt,
        retry=retry,
        failures=failures,
        input=given,
        tokens=granted,
    )
    if stage == "think" and not is_prepared(known):
        yield _workspace(state, known, again, failures, beside=run_id)


def _out_of_time(state: Task, stage: Activity, known: StageInput) -> ResolutionAwaited:
    limit_s = known.spec.budget.task_s
    detail = (
        f"{stage} was not begun: the stages have worked for {known.worked_s:.0f} s,"
        f" and the task may take {limit_s:.0f} s in all (budget.task_wall_s)"
    )
    return _not_begun(state, stage, known, "task_wall", detail)


def _not_begun(state: Task, stage: Activity, known: StageInput, code: str, detail: str) -> ResolutionAwaited:
    """Have resolution see to a run that may not be asked for any more."""
    return ResolutionAwaited(
        task_id=state.task_id,
        stage=stage,
        cause=f"{state.task_id} {stage}",
        failure=Failure(kind="impossible", code=code, detail=detail),
        number=state.troubles + 1,
        subject=known,
    )


def _workspace(
    state: Task, known: StageInput, again: bool, failures: int, beside: str = ""
) -> WorkspaceRequested:
    attempt, retry = _numbers(state, "workspace", again)
    set_up = sum(bool(repo.setup) for repo in known.spec.repos)
    steps = known.plan.repos if known.plan else ()
    commands = set_up + sum(len(step.verification) for step in steps)
    return WorkspaceRequested(
        task_id=state.task_id,
        run_id=run_id_of(state.task_id, "workspace", attempt, retry),
        attempt=attempt,
        retry=retry,
        failures=failures,
        input=slim(known, "workspace"),
        wall_s=CHECKOUT_S + commands * known.spec.budget.wall_s,
        beside=beside,
    )


def _short(state: Task, short: Shortage) -> TaskParked:
    """Let a task wait for tokens: until the window frees them, or for a person where time does not help."""
    if short.until is not None:
        owner, wake_up = "scheduler", "enough tokens are free"
    elif short.scope == task_scope(state.task_id):
        owner, wake_up = "operator", f"autopilot budget {state.task_id} TOKENS"
    else:
        wake_up = f"autopilot budget {short.scope} TOKENS, then autopilot retry {state.task_id}"
        owner = "operator"
    return TaskParked(
        task_id=state.task_id,
        code="tokens",
        reason=short.reason,
        owner=owner,
        wake_up=wake_up,
        until=short.until,
    )


def _numbers(state: Task, activity: Activity, again: bool) -> tuple[int, int]:
    """Count the attempt, and how often it is run again."""
    done = state.attempts.get(activity, 0)
    if again and done:
        return done, state.retries.get(activity, 0) + 1
    return done + 1, 0


def known_of(state: Task) -> StageInput:
    """Return all that is known of a task."""
    assert state.input is not None, "the task was never submitted"
    return state.input
