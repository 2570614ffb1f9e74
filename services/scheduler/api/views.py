"""What the outside sees of a task, and of what it waits for."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.task import STAGES, IncidentReport, column_of
from services.scheduler.domain.pool import Forecast
from services.scheduler.domain.state import Task
from services.scheduler.domain.waits import Estimate, Wait, told


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task for the outside."""

    id: str
    #: What it is called in its batch.
    key: str = ""
    batch: str = ""
    title: str
    phase: str
    stage: str
    engine: str
    priority: str
    queue: str
    attempts: dict[str, int]
    depends_on: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    pull_requests: tuple[dict[str, Any], ...] = ()
    approvals: tuple[str, ...] = ()
    reason: str = ""
    waits_for: str = ""
    owner: str = ""
    #: Why it does not run yet, in words.
    why_not_yet: str = ""
    #: The same for programs: all that has to happen before it starts.
    waits: tuple[Wait, ...] = ()
    #: How many start before it.
    position: Forecast | None = None
    estimate: Estimate | None = None
    incident_id: str = ""
    #: What is told of the incident that the task ended in.
    incident: IncidentReport | None = None
    synthetic: bool = False


def view(
    state: Task,
    known: tuple[Wait, ...] = (),
    position: Forecast | None = None,
    expected: Estimate | None = None,
) -> TaskView:
    """Show a task with what it waits for."""
    return TaskView(
        id=state.task_id,
        key=state.spec.key or "",
        batch=state.batch,
        title=state.spec.title,
        phase=state.phase,
        stage=column_of(state.stage),
        engine=state.spec.engine,
        priority=state.priority,
        queue=state.spec.queue,
        attempts={stage: state.attempts[stage] for stage in STAGES if stage in state.attempts},
        depends_on=state.depends_on,
        repos=tuple(repo.name for repo in state.spec.repos),
        pull_requests=tuple(msgspec.structs.asdict(pull) for pull in state.pull_requests),
        approvals=tuple(f"gate {gate}" for gate in sorted(state.approved)),
        reason=state.reason,
        waits_for=state.waits_for,
        owner=state.waits_on,
        why_not_yet=told(known, position, expected),
        waits=known,
        position=position,
        estimate=expected,
        incident_id=state.incident_id,
        incident=state.incident if state.incident_id else None,
        synthetic=state.synthetic,
    )
