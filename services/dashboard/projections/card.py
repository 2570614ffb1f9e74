"""A task in a list, derived from its document. Counts are computed from cards: no document is written by all tasks."""

from __future__ import annotations

from datetime import datetime

from contracts.task import STAGES, PullRequestRef, Stage, column_of
from services.dashboard.projections.documents import ENDS, Card, Run, TaskDocument


def card_of(document: TaskDocument) -> Card | None:
    """Derive a task's card; None until its submission is known."""
    if document.submitted_at is None:
        return None
    parked = document.parked
    return Card(
        id=document.task_id,
        title=document.title,
        phase=document.phase,
        stage=document.stage,
        priority=document.priority,
        engine=document.engine,
        queue=document.queue,
        repos=tuple(repo.name for repo in document.repos),
        synthetic=document.synthetic,
        attempt=document.attempts.get(document.stage, 0),
        loops=len(document.loops),
        submitted_at=document.submitted_at,
        started_at=document.started_at,
        ended_at=document.ended_at,
        phase_since=document.phase_since,
        stage_since=document.stage_since,
        reason=document.reason,
        owner=parked.owner if parked else "",
        wake_up=parked.wake_up if parked else "",
        incident_id=document.incident_id,
        depends_on=document.depends_on,
        pull_requests=pull_requests(document),
        holds_slot=document.holds_slot,
        stages=tuple(state for _, state in stage_states(document)),
        gates=document.gates,
        position=document.position,
    )


def active_card_of(document: TaskDocument) -> Card | None:
    """Derive the card of a task that has not ended; None removes it."""
    return None if document.phase in ENDS else card_of(document)


def card_sort(card: Card) -> str:
    """Order cards by the time of submission; the id makes it unique, so that a page can begin behind it."""
    return f"{card.submitted_at.isoformat(timespec='microseconds')}|{card.id}"


def runs_in_order(document: TaskDocument) -> list[Run]:
    """List runs by their last event; requested ones that no replica has started come last."""
    return sorted(document.runs.values(), key=lambda run: (run.position == 0, run.position, run.run_id))


def stage_states(document: TaskDocument) -> list[tuple[Stage, str]]:
    """Tell the state of each stage: pending, skipped, requested, not accepted, or as its latest run says.

    A new plan voids what came of the plan before: a stage that has not been asked for since is pending again.
    """
    latest = {column_of(run.stage): run for run in runs_in_order(document)}
    plan = latest.get("plan")
    since = plan.requested_at if plan else None
    return [(stage, _state(document, stage, latest.get(stage), since)) for stage in STAGES]


def _state(document: TaskDocument, stage: Stage, run: Run | None, planned_at: datetime | None) -> str:
    if run is None:
        return "skipped" if stage in document.skipped else "pending"
    stale = run.requested_at and planned_at and run.requested_at < planned_at
    if stale and STAGES.index(stage) > STAGES.index("plan"):
        return "pending"
    if run.stage == "workspace" and run.status in ("completed", "cancelled"):
        return "pending"
    if run.stage == "withdrawal":
        return "cancelled"
    if run.status == "completed" and run.problems:
        return "not accepted"
    return run.status or "requested"


def pull_requests(document: TaskDocument) -> tuple[PullRequestRef, ...]:
    """List pull requests: as the task's end names them, or as its runs have made them so far."""
    if document.pull_requests:
        return document.pull_requests
    made = {
        (pull.repo_url, pull.number): pull for run in runs_in_order(document) for pull in run.pull_requests
    }
    return tuple(made.values())
