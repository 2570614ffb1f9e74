"""How a task ends, or comes to wait for a person: probes, proof, cancellation, a dependency that is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from contracts.stage import StageCancelled, StageCompleted, StageFailed
from contracts.task import (
    MonitorWaitStarted,
    StageInput,
    TaskCancelled,
    TaskCancelRequested,
    TaskDone,
    TaskEvent,
    TaskParked,
    WithdrawalRequested,
    run_id_of,
)
from services.scheduler.domain.asking import known_of
from services.scheduler.domain.commands import LoseDependency, Observe, Overlap
from services.scheduler.domain.joining import RunEnd, stop_runs
from services.scheduler.domain.known import slim
from services.scheduler.domain.proof import proof_lacking
from services.scheduler.domain.state import Task

#: Probes within a monitor window, and the bounds of the time between them in seconds.
PROBES, PROBE_MIN_S, PROBE_MAX_S = 10, 5, 300
#: Phases in which no stage of a task runs, but for `parked`.
_BETWEEN = ("queued", "waiting", "resolving", "gating")


def after_probe(command: Observe, known: StageInput, state: Task) -> Iterator[TaskEvent]:
    """Go on watching until the window is over; then the task is done, if its proof is whole."""
    window = max(repo.monitor.window_s for repo in state.spec.repos)
    until = state.monitor_until or command.now + timedelta(seconds=window)
    if command.now < until:
        pause = min(max(window / PROBES, PROBE_MIN_S), PROBE_MAX_S)
        next_probe = min(command.now + timedelta(seconds=pause), until)
        yield MonitorWaitStarted(task_id=state.task_id, until=until, next_probe=next_probe)
    elif lacking := proof_lacking(known, state):
        yield unproven(state, lacking)
    else:
        yield TaskDone(task_id=state.task_id, pull_requests=known.pull_requests, approvals=approvals(state))


def lose(command: LoseDependency, state: Task) -> Iterator[TaskEvent]:
    """Wait for a person, or end, because what the task depends on ended without a change."""
    lost, reason = command.dependency, f"it depends on {command.dependency}, which ended as {command.outcome}"
    if state.on_failed_dependency == "cancel" and state.phase in (*_BETWEEN, "parked"):
        if _has_published(state):
            yield from cancel(state, "scheduler", reason)
        else:
            yield TaskCancelled(task_id=state.task_id, actor="scheduler", reason=reason)
    elif state.on_failed_dependency == "park" and state.phase in _BETWEEN:
        yield TaskParked(
            task_id=state.task_id,
            code="dependency_broken",
            reason=reason,
            owner="operator",
            wake_up=f"{lost} done (autopilot retry {lost}), or autopilot cancel",
        )


def unproven(state: Task, lacking: str) -> TaskParked:
    """Invariant 8's last net: it cannot catch anything while the walk is whole; a person has to see it if it does."""
    return ask_person(state, "proof_missing", f"proof is missing: {lacking}")


def ask_person(state: Task, code: Literal["no_quorum", "proof_missing"], reason: str) -> TaskParked:
    """Park a task until a person has looked at it."""
    return TaskParked(
        task_id=state.task_id,
        code=code,
        reason=reason,
        owner="operator",
        wake_up=f"autopilot retry {state.task_id}",
    )


def wait_for_files(state: Task, overlap: Overlap) -> TaskParked:
    """Park a task until others have changed the files that its plan names too."""
    others = ", ".join(overlap.behind)
    return TaskParked(
        task_id=state.task_id,
        code="files_overlap",
        reason=f"its plan changes {', '.join(overlap.shared)}, and so does {others}",
        owner=others,
        wake_up=f"{others} done, in monitor, or given up",
    )


def approvals(state: Task) -> tuple[str, ...]:
    """Quote the approvals of a task, for its pull request and its end."""
    return tuple(f"gate {gate}: approve" for gate in sorted(state.approved))


def cancel(state: Task, actor: str, reason: str) -> Iterator[TaskEvent]:
    """End a task because somebody wants it: at once, or when what runs for it has been stopped."""
    if state.phase in ("none", "cancelling") or state.ended:
        return
    yield TaskCancelRequested(task_id=state.task_id, actor=actor, reason=reason)
    if state.phase in ("running", "suspending"):
        yield from stop_runs(state, reason or f"cancelled by {actor}")
    else:
        yield from _withdraw(state, actor, reason)


def _withdraw(state: Task, actor: str, reason: str) -> Iterator[TaskEvent]:
    """Have taken back what a task has published, now that nothing runs for it; one that has published nothing ends."""
    if not _has_published(state):
        yield TaskCancelled(task_id=state.task_id, actor=actor, reason=reason)
        return
    attempt = state.attempts.get("withdrawal", 0) + 1
    yield WithdrawalRequested(
        task_id=state.task_id,
        run_id=run_id_of(state.task_id, "withdrawal", attempt),
        attempt=attempt,
        input=slim(known_of(state), "withdrawal"),
    )


def _has_published(state: Task) -> bool:
    """Tell whether something of a task may be outside; what is simulated never is."""
    return "pr" in state.attempts and state.spec.engine != "noop"


def after_cancelling(news: RunEnd, state: Task) -> Iterator[TaskEvent]:
    """End a cancelled task when nothing runs for it any more, and nothing is open that it has published."""
    if news.stage != "withdrawal":
        yield from _withdraw(state, state.cancelled_by, state.cancel_reason)
        return
    match news:
        case StageCompleted(output=output):
            left = output.left
        case StageFailed(failure=failure):
            left = (f"what it has published was not looked at: {failure.detail}",)
        case StageCancelled(reason=why):
            left = (f"what it has published was not looked at: {why}",)
    yield TaskCancelled(
        task_id=state.task_id, actor=state.cancelled_by, reason=state.cancel_reason, left=left
    )
