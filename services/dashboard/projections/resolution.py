"""Loops of a task, and incidents."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from contracts.message import Recorded
from contracts.resolution import (
    IncidentEvent,
    IncidentFiled,
    IncidentOpened,
    LoopClosed,
    LoopEvent,
    LoopExhausted,
    LoopOpened,
    PlanDeltaRecorded,
    StageRetryAdvised,
)
from services.dashboard.projections.documents import (
    LIST_LIMIT,
    REASON_LIMIT,
    IncidentDocument,
    Loop,
    TaskDocument,
)
from services.dashboard.projections.narrative import clip
from services.dashboard.projections.repository import change_of, repo_of
from services.dashboard.projections.run import clipped


def fold_loop(document: TaskDocument, recorded: Recorded, event: LoopEvent) -> TaskDocument:
    """Fold an event of a task's loops."""
    replace = msgspec.structs.replace
    match event:
        case LoopOpened():
            opened = Loop(
                loop=event.loop,
                stage=event.stage,
                kind=event.kind,
                label=event.label,
                opened_at=recorded.recorded_at,
                findings=clipped(event.findings),
            )
            return replace(document, loops=(*document.loops, opened))
        case PlanDeltaRecorded(delta=delta):
            return _each(document, delta.loop, different=clip(delta.different, REASON_LIMIT))
        case StageRetryAdvised():
            return document
        case LoopClosed(loop=loop):
            return _each(document, loop, outcome="closed")
        case LoopExhausted(loop=loop):
            return _each(document, loop, outcome="exhausted")
        case _:
            assert_never(event)


def _each(document: TaskDocument, number: int, **values: str) -> TaskDocument:
    loops = tuple(
        msgspec.structs.replace(loop, **values) if loop.loop == number else loop for loop in document.loops
    )
    return msgspec.structs.replace(document, loops=loops)


def fold_incident(
    document: IncidentDocument | None, recorded: Recorded, event: IncidentEvent
) -> IncidentDocument:
    """Fold an event of an incident's own stream."""
    before = document or IncidentDocument(id=event.incident_id, task_id=event.task_id)
    replace = msgspec.structs.replace
    before = replace(
        before, position=recorded.position, synthetic=before.synthetic or recorded.meta.synthetic
    )
    match event:
        case IncidentOpened():
            return replace(
                before,
                title=event.title,
                stage=event.stage,
                reason=clip(event.reason, REASON_LIMIT),
                label=event.label,
                findings=clipped(event.findings),
                repos=tuple(repo_of(repo) for repo in event.repos),
                bases=event.bases,
                changes=tuple(change_of(change) for change in event.changes),
                commands=event.commands[:LIST_LIMIT],
                evidence=event.evidence[:LIST_LIMIT],
                opened_at=recorded.recorded_at,
            )
        case IncidentFiled(path=path, reproducible=reproducible):
            return replace(
                before,
                path=path,
                reproducible=reproducible,
                filed=_more(event),
                filed_at=recorded.recorded_at,
            )
        case _:
            assert_never(event)


def _more(event: IncidentFiled) -> dict[str, Any]:
    """Return what an event says beyond what the document has a field for; texts are shortened."""
    named = {"type", "incident_id", "task_id", "path", "reproducible", "reason"}
    said = msgspec.to_builtins(event)
    return {
        name: clip(value, REASON_LIMIT) if isinstance(value, str) else value
        for name, value in said.items()
        if name not in named
    }


def incident_sort(document: IncidentDocument) -> str:
    """Order incidents by the time they were opened."""
    return (
        f"{document.opened_at.isoformat(timespec='microseconds') if document.opened_at else ''}|{document.id}"
    )
