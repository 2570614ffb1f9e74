"""Asking for a stage: which attempt it is, what it gets, and when it is not asked for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.budget import task_scope
from contracts.task import (
    Failure,
    InfiniteLoopDetected,
    ResolutionAwaited,
    Stage,
    StageInput,
    StageRequested,
    TaskEvent,
    TaskParked,
    run_id_of,
)
from services.scheduler.domain.commands import Conditions
from services.scheduler.domain.purse import Shortage
from services.scheduler.domain.state import ATTEMPTS, Task


def ask(
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
    granted = conditions.purse.offer(state, stage) if conditions.purse else None
    if isinstance(granted, Shortage):
        yield _short(state, granted) if again else _short(state, granted, stage, known)
        return
    yield StageRequested(
        task_id=state.task_id,
        run_id=run_id_of(state.task_id, stage, attempt, retry),
        stage=stage,
        attempt=attempt,
        retry=retry,
        failures=failures,
        input=slim(known, stage),
        tokens=granted,
    )


def _short(
    state: Task, short: Shortage, stage: Stage | None = None, known: StageInput | None = None
) -> TaskParked:
    """Let a task wait for tokens: until the window frees them, or for a person where time does not help."""
    if short.until is not None:
        owner, wake_up = "scheduler", f"tokens are free, at {short.until:%Y-%m-%d %H:%M} UTC at the latest"
    elif short.scope == task_scope(state.task_id):
        owner, wake_up = "operator", f"autopilot budget {state.task_id} TOKENS"
    else:
        owner, wake_up = "operator", f"autopilot budget {short.scope} TOKENS"
    return TaskParked(
        task_id=state.task_id,
        code="tokens",
        reason=short.reason,
        owner=owner,
        wake_up=wake_up,
        until=short.until,
        next_stage=stage,
        subject=slim(known, stage) if known and stage else None,
    )


def _halted(state: Task, stage: Stage | None = None, known: StageInput | None = None) -> TaskParked:
    return TaskParked(
        task_id=state.task_id,
        code="emergency_stop",
        reason="emergency stop",
        owner="operator",
        wake_up="autopilot mode normal",
        next_stage=stage,
        subject=slim(known, stage) if known and stage else None,
    )


def slim(known: StageInput, stage: Stage) -> StageInput:
    """Leave the patch text out where it is not needed: it would be stored with every event."""
    if stage in ("spec", "plan", "implement") or known.spec.patch is None:
        return known
    return msgspec.structs.replace(known, spec=msgspec.structs.replace(known.spec, patch=None))


def known_of(state: Task) -> StageInput:
    """Return all that is known of a task."""
    assert state.input is not None, "the task was never submitted"
    return state.input
