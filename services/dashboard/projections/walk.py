"""What the task's own stream says of it: where it stands, what it waits for, how it ended."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from contracts.message import Recorded
from contracts.task import (
    GateAnswered,
    GateRequested,
    InfiniteLoopDetected,
    MemoryCeilingChanged,
    MonitorWaitStarted,
    ResolutionAwaited,
    RunJoined,
    StageCancelRequested,
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
    TaskSubmitted,
    TaskUnparked,
    TokensGranted,
    TokensRefused,
    WithdrawalRequested,
    WorkspaceRequested,
    column_of,
)
from services.dashboard.projections.documents import (
    BODY_LIMIT,
    REASON_LIMIT,
    Parked,
    Phase,
    Review,
    Run,
    TaskDocument,
)
from services.dashboard.projections.narrative import cancellation, clip
from services.dashboard.projections.repository import pull_of, repo_of


def fold_walk(document: TaskDocument, recorded: Recorded, event: TaskEvent) -> TaskDocument:
    """Fold an event of the task's own stream."""
    replace, at = msgspec.structs.replace, recorded.recorded_at

    def phase(name: Phase, **values: Any) -> TaskDocument:
        since = document.phase_since if document.phase == name else at
        return replace(document, phase=name, phase_since=since, **values)

    match event:
        case TaskSubmitted():
            return _submitted(document, recorded, event)
        case TaskAdmitted():
            return phase("running", started_at=document.started_at or at, parked=None)
        case StageRequested():
            return _requested(document, recorded, event)
        case TokensGranted() | TokensRefused():
            return document
        case TaskBudgetChanged(tokens=tokens):
            return replace(document, budget={**document.budget, "tokens": tokens})
        case WorkspaceRequested():
            return _prepared(document, recorded, event)
        case WithdrawalRequested():
            return _withdrawing(document, recorded, event)
        case RunJoined():
            return document
        case StageSkipped(stage=stage, reason=reason):
            return replace(document, skipped={**document.skipped, stage: clip(reason, REASON_LIMIT)})
        case GateRequested(review_id=review_id):
            known = document.reviews.get(review_id) or Review(
                review_id=review_id, gate=event.gate, round=event.round
            )
            asked = replace(known, stage=event.stage, asked_at=at)
            return phase("gating", stage=event.stage, reviews={**document.reviews, review_id: asked})
        case GateAnswered(gate=gate, verdict=verdict):
            return replace(document, gates={**document.gates, gate: verdict})
        case ResolutionAwaited(stage=stage):
            return phase("resolving", stage=column_of(stage))
        case StageCancelRequested():
            return phase("cancelling" if document.cancel_requested_by else "suspending")
        case TaskCancelRequested(actor=actor):
            return replace(document, cancel_requested_by=actor)
        case TaskParked(owner=owner, wake_up=wake_up):
            reason = clip(event.reason, REASON_LIMIT)
            parked = Parked(code=event.code, reason=reason, owner=owner, wake_up=wake_up, since=at)
            return phase("parked", parked=parked, reason=reason)
        case TaskUnparked():
            return phase("queued", parked=None, reason="")
        case MemoryCeilingChanged():
            return document
        case MonitorWaitStarted(next_probe=next_probe):
            return phase("waiting", next_probe=next_probe)
        case InfiniteLoopDetected(stage=stage, attempts=attempts):
            return phase("resolving", reason=f"infinite loop: {stage} attempted {attempts} times")
        case TaskRetried():
            return phase(
                "queued",
                stage="",
                ended_at=None,
                reason="",
                incident_id="",
                cancel_requested_by="",
                gates={},
                retries_by_people=document.retries_by_people + 1,
            )
        case TaskPriorityChanged(priority=priority):
            return replace(document, priority=priority)
        case TaskDone(pull_requests=pulls, approvals=approvals):
            shown = tuple(pull_of(pull) for pull in pulls)
            return _ended(document, recorded, "done", pull_requests=shown, approvals=approvals, reason="")
        case TaskCancelled():
            return _ended(document, recorded, "cancelled", reason=clip(cancellation(event), REASON_LIMIT))
        case TaskGivenUp(incident_id=incident_id, reason=reason):
            return _ended(
                document, recorded, "incident", incident_id=incident_id, reason=clip(reason, REASON_LIMIT)
            )
        case _:
            assert_never(event)


def _submitted(document: TaskDocument, recorded: Recorded, event: TaskSubmitted) -> TaskDocument:
    spec = event.spec
    return msgspec.structs.replace(
        document,
        title=spec.title,
        body=clip(spec.body, BODY_LIMIT),
        engine=spec.engine,
        priority=spec.priority,
        queue=spec.queue,
        synthetic=document.synthetic or spec.synthetic,
        repos=tuple(repo_of(repo) for repo in spec.repos),
        depends_on=event.depends_on,
        budget={
            "tokens": spec.budget.tokens,
            "memory_mb": spec.budget.memory_mb,
            "wall_s": spec.budget.wall_s,
        },
        submitted_at=event.submitted_at,
        phase="queued",
        phase_since=recorded.recorded_at,
    )


def _requested(document: TaskDocument, recorded: Recorded, event: StageRequested) -> TaskDocument:
    at = recorded.recorded_at
    known = document.runs.get(event.run_id) or Run(
        run_id=event.run_id, stage=event.stage, attempt=event.attempt
    )
    run = msgspec.structs.replace(known, requested_at=at, retry=event.retry)
    same = (document.stage, document.attempts.get(event.stage)) == (event.stage, event.attempt)
    return msgspec.structs.replace(
        document,
        phase="running",
        phase_since=document.phase_since if document.phase == "running" and same else at,
        stage=event.stage,
        stage_since=document.stage_since if same else at,
        attempts={**document.attempts, event.stage: event.attempt},
        # A new plan voids what the gates said of the old one.
        gates={} if event.stage == "plan" else document.gates,
        runs={**document.runs, event.run_id: run},
        parked=None,
        next_probe=None,
        reason="",
    )


def _withdrawing(document: TaskDocument, recorded: Recorded, event: WithdrawalRequested) -> TaskDocument:
    """Note that what a cancelled task has published is being taken back."""
    document, at = _asked(document, recorded, event), recorded.recorded_at
    return msgspec.structs.replace(
        document, phase="cancelling", phase_since=at, stage="pr", stage_since=at, parked=None, next_probe=None
    )


def _asked(
    document: TaskDocument, recorded: Recorded, event: WorkspaceRequested | WithdrawalRequested
) -> TaskDocument:
    known = document.runs.get(event.run_id) or Run(
        run_id=event.run_id, stage=event.stage, attempt=event.attempt
    )
    run = msgspec.structs.replace(known, requested_at=recorded.recorded_at, retry=event.retry)
    return msgspec.structs.replace(document, runs={**document.runs, event.run_id: run})


def _prepared(document: TaskDocument, recorded: Recorded, event: WorkspaceRequested) -> TaskDocument:
    """Note a workspace that is asked for; what runs beside it says where the task is."""
    document, at = _asked(document, recorded, event), recorded.recorded_at
    if event.beside:
        return document
    return msgspec.structs.replace(
        document,
        phase="running",
        phase_since=at,
        stage=column_of(event.stage),
        stage_since=at,
        parked=None,
        next_probe=None,
        reason="",
    )


def _ended(document: TaskDocument, recorded: Recorded, phase: Phase, **values: Any) -> TaskDocument:
    at = recorded.recorded_at
    return msgspec.structs.replace(
        document, phase=phase, phase_since=at, ended_at=at, parked=None, next_probe=None, **values
    )
