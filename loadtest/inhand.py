"""Says, from the record alone, what a part of the stack has in hand at a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contracts.alert import AlertRaised
from contracts.gate import GateDecided
from contracts.message import Recorded
from contracts.resolution import IncidentFiled, IncidentOpened
from contracts.stage import StageCancelled, StageCompleted, StageFailed, StageStarted
from contracts.task import GateRequested, ResolutionAwaited, TaskCancelled, TaskDone, TaskGivenUp
from contracts.workspace import WorkspaceRemoved

InHand = Callable[[Sequence[Recorded]], str]


def stage_runner(events: Sequence[Recorded]) -> str:
    """Name a run that was started and has not ended."""
    ended = {
        event.event.run_id
        for event in events
        if isinstance(event.event, (StageCompleted, StageFailed, StageCancelled))
    }
    started = [event.event.run_id for event in events if isinstance(event.event, StageStarted)]
    return next((f"run {run} started, not ended" for run in started if run not in ended), "")


def scheduler(events: Sequence[Recorded]) -> str:
    """Name news of another service that no event of the scheduler answers yet."""
    return _unanswered(events, (StageCompleted, StageFailed, GateDecided, IncidentFiled), "scheduler")


def gate(events: Sequence[Recorded]) -> str:
    """Name a question to a gate without an answer."""
    return _unanswered(events, (GateRequested,), "gate")


def resolution(events: Sequence[Recorded]) -> str:
    """Name a failure that nothing was decided about, or an incident that is not written."""
    return _unanswered(events, (ResolutionAwaited, IncidentOpened), "resolution")


def alerting(events: Sequence[Recorded]) -> str:
    """Name a task that was given up without anybody being told."""
    raised = {event.event.task_id for event in events if isinstance(event.event, AlertRaised)}
    given_up = [event.event.task_id for event in events if isinstance(event.event, TaskGivenUp)]
    return next((f"no alert for {task}, which was given up" for task in given_up if task not in raised), "")


def cleanup(events: Sequence[Recorded]) -> str:
    """Name an ended task whose workspace is still there."""
    removed = {event.event.task_id for event in events if isinstance(event.event, WorkspaceRemoved)}
    ended = [
        event.event.task_id
        for event in events
        if isinstance(event.event, (TaskDone, TaskCancelled, TaskGivenUp))
    ]
    return next((f"workspace of {task} not removed" for task in ended if task not in removed), "")


#: The dashboard answers nothing; its inbox tells (see `drill.py`).
BY_PART: dict[str, InHand] = {
    "scheduler": scheduler,
    "stage-runner": stage_runner,
    "gate": gate,
    "resolution": resolution,
    "alerting": alerting,
    "cleanup": cleanup,
    "nats": stage_runner,
    "postgres": stage_runner,
}


def _unanswered(events: Sequence[Recorded], types: tuple[type, ...], service: str) -> str:
    answered = {event.meta.causation_id for event in events if event.meta.service == service}
    open_ = [event for event in events if isinstance(event.event, types) and event.id not in answered]
    return f"{open_[0].type} {open_[0].stream} not answered" if open_ else ""
