"""The task's document. Its streams come in any order against each other, each in its own order.

So a field belongs to one stream, a run or review is a map entry that two streams fill from both sides, and the
timeline is ordered by position. Whatever order the news takes, the document ends up the same.
"""

from __future__ import annotations

import bisect
from typing import assert_never

import msgspec

from contracts.admission import AdmissionEvent, SlotGranted, SlotReleased
from contracts.alert import AlertEvent
from contracts.budget import BudgetEvent
from contracts.claim import ClaimEvent
from contracts.gate import GateDecided
from contracts.message import Event, Recorded, Unknown
from contracts.mode import AsideEvent, ModeEvent
from contracts.resolution import IncidentFiled, IncidentOpened, IncidentWritten, LoopEvent
from contracts.stage import StageEvent
from contracts.stall import StallEvent
from contracts.task import TaskEvent
from contracts.workspace import ArtifactEvent, DiskEvent, WorkspaceRemoved
from services.dashboard.projections.documents import TIMELINE_LIMIT, TaskDocument, TimelineEntry
from services.dashboard.projections.narrative import Known, tell
from services.dashboard.projections.resolution import fold_loop
from services.dashboard.projections.run import fold_review, fold_run
from services.dashboard.projections.walk import fold_walk


def task_of(event: Event | Unknown) -> str:
    """Name the task that an event is about; empty if it is about none."""
    named = event.data.get("task_id", "") if isinstance(event, Unknown) else getattr(event, "task_id", "")
    return named if isinstance(named, str) else ""


def fold_task(document: TaskDocument | None, recorded: Recorded) -> TaskDocument:
    """Fold one event that is about a task into its document."""
    before = document or TaskDocument(task_id=task_of(recorded.event))
    text, tone = tell(recorded.event)
    entry = TimelineEntry(
        position=recorded.position,
        at=recorded.recorded_at,
        type=recorded.type,
        stream=recorded.stream,
        text=text,
        tone=tone,
    )
    timeline = list(before.timeline)
    bisect.insort(timeline, entry, key=lambda known: known.position)
    latest = recorded.position > before.position or before.updated_at is None
    after = msgspec.structs.replace(
        before,
        timeline=tuple(timeline[-TIMELINE_LIMIT:]),
        events=before.events + 1,
        position=max(before.position, recorded.position),
        updated_at=recorded.recorded_at if latest else before.updated_at,
        synthetic=before.synthetic or recorded.meta.synthetic,
    )
    if isinstance(recorded.event, Unknown):
        return after
    return _fold(after, recorded, recorded.event)  # type: ignore[arg-type]


def _fold(document: TaskDocument, recorded: Recorded, event: Known) -> TaskDocument:
    replace = msgspec.structs.replace
    match event:
        case GateDecided():
            return fold_review(document, recorded, event)
        case IncidentOpened() | IncidentWritten():
            return document
        case IncidentFiled(incident_id=incident_id, path=path):
            return replace(document, incident_paths={**document.incident_paths, incident_id: path})
        case WorkspaceRemoved():
            return replace(document, workspace_removed_at=recorded.recorded_at)
        case SlotGranted():
            return replace(document, holds_slot=True)
        case SlotReleased():
            return replace(document, holds_slot=False)
        case _ if isinstance(event, TaskEvent):
            return fold_walk(document, recorded, event)
        case _ if isinstance(event, StageEvent):
            return fold_run(document, recorded, event)
        case _ if isinstance(event, LoopEvent):
            return fold_loop(document, recorded, event)
        case _ if isinstance(
            event,
            AdmissionEvent
            | AlertEvent
            | ArtifactEvent
            | AsideEvent
            | BudgetEvent
            | ClaimEvent
            | DiskEvent
            | ModeEvent
            | StallEvent,
        ):
            # They are told in the timeline and change nothing else of the task.
            return document
        case _:
            assert_never(event)
