"""What the API says of events and tasks: the shapes that programs and the page rely on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from contracts.message import Event, Meta, Recorded, Unknown, category_of, subject_of
from contracts.receipt import Problem
from contracts.task import column_of
from services.dashboard.projections.card import pull_requests, runs_in_order, stage_states
from services.dashboard.projections.documents import Review, Run, TaskDocument
from services.dashboard.projections.task import task_of

REFUSALS = frozenset({"reject", "error"})


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the record holds it."""

    position: int
    id: str
    #: What it comes under on the bus.
    subject: str
    stream: str
    version: int
    type: str
    schema_version: int
    time: datetime
    #: The task that it is about; empty if it is about none.
    task_id: str
    meta: Meta
    data: Event | dict[str, Any]
    prev_hash: str
    hash: str
    xid: int


class BriefView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to whom: enough to know what to look at again."""

    position: int
    type: str
    category: str
    time: datetime
    task_id: str = ""
    synthetic: bool = False


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """One of the eight stages of a task, with every attempt of it."""

    stage: str
    #: pending | requested | started | completed | not accepted | failed | cancelled | skipped
    state: str
    attempts: int
    skipped: str
    runs: tuple[Run, ...]


class EvidenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One stored artifact, with the run that it came from."""

    digest: str
    name: str
    media_type: str
    size: int
    stage: str
    attempt: int
    run_id: str


class LastFailure(msgspec.Struct, frozen=True, kw_only=True):
    """What last did not pass."""

    #: Run or review.
    cause: str
    stage: str
    code: str
    detail: str
    at: datetime | None
    problems: tuple[Problem, ...]


def event_view(recorded: Recorded) -> EventView:
    """Show an event."""
    event = recorded.event
    return EventView(
        position=recorded.position,
        id=recorded.id,
        subject=subject_of(recorded.stream, recorded.type),
        stream=recorded.stream,
        version=recorded.version,
        type=recorded.type,
        schema_version=recorded.schema_version,
        time=recorded.recorded_at,
        task_id=task_of(event),
        meta=recorded.meta,
        data=event.data if isinstance(event, Unknown) else event,
        prev_hash=recorded.prev_hash,
        hash=recorded.hash,
        xid=recorded.xid,
    )


def event_json(recorded: Recorded) -> bytes:
    """Encode an event."""
    return msgspec.json.encode(event_view(recorded))


def brief_json(recorded: Recorded, task_id: str) -> bytes:
    """Encode what an event is and whom it concerns."""
    return msgspec.json.encode(
        BriefView(
            position=recorded.position,
            type=recorded.type,
            category=category_of(recorded.stream),
            time=recorded.recorded_at,
            task_id=task_id,
            synthetic=recorded.meta.synthetic,
        )
    )


def task_view(document: TaskDocument) -> dict[str, Any]:
    """Show a task: its document, with what follows from its runs and reviews."""
    shown = msgspec.structs.asdict(document)
    shown["id"] = shown.pop("task_id")
    return {
        **shown,
        "runs": runs_in_order(document),
        "reviews": sorted(document.reviews.values(), key=_review_order),
        "pull_requests": pull_requests(document),
        "stages": stages_of(document),
        "evidence": evidence_of(document),
        "last_failure": last_failure(document),
    }


def stages_of(document: TaskDocument) -> list[StageView]:
    """List the eight stages with their attempts; a workspace is listed under the stage it is made for."""
    runs = runs_in_order(document)
    return [
        StageView(
            stage=stage,
            state=state,
            attempts=document.attempts.get(stage, 0),
            skipped=document.skipped.get(stage, ""),
            runs=tuple(run for run in runs if column_of(run.stage) == stage),
        )
        for stage, state in stage_states(document)
    ]


def evidence_of(document: TaskDocument) -> list[EvidenceView]:
    """List a task's evidence in the order it came."""
    return [
        EvidenceView(
            digest=ref.digest,
            name=ref.name,
            media_type=ref.media_type,
            size=ref.size,
            stage=run.stage,
            attempt=run.attempt,
            run_id=run.run_id,
        )
        for run in runs_in_order(document)
        for ref in run.evidence
    ]


def last_failure(document: TaskDocument) -> LastFailure | None:
    """Find what failed last: a run, or a gate that refused."""
    failed: list[Run | Review] = [run for run in document.runs.values() if run.status == "failed"]
    failed += [review for review in document.reviews.values() if review.verdict in REFUSALS]
    last = max(failed, key=lambda item: item.position, default=None)
    match last:
        case Run(failure=failure):
            return LastFailure(
                cause=last.run_id,
                stage=last.stage,
                code=failure.code if failure else "",
                detail=failure.detail if failure else "",
                at=last.ended_at,
                problems=last.problems,
            )
        case Review():
            return _refusal(document, last)
        case _:
            return None


def _refusal(document: TaskDocument, last: Review) -> LastFailure:
    """Put together what all gates behind the last run of the stage have refused: they were asked at once."""
    asked = max((run.position for run in document.runs.values() if run.stage == last.stage), default=0)
    refused = sorted(
        (
            review
            for review in document.reviews.values()
            if review.stage == last.stage
            and review.verdict in REFUSALS
            and (review.position > asked or review is last)
        ),
        key=lambda review: review.gate,
    )
    gates = ", ".join(str(review.gate) for review in refused)
    return LastFailure(
        cause=", ".join(review.review_id for review in refused),
        stage=last.stage,
        code="gate_refused",
        detail=f"refused by gate {gates}",
        at=last.decided_at,
        problems=tuple(problem for review in refused for problem in review.findings),
    )


def _review_order(review: Review) -> tuple[bool, int, str]:
    return (review.position == 0, review.position, review.review_id)
