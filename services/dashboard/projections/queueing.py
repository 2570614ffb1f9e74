"""What the timeline says of slots and queues."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from contracts.admission import (
    HELD,
    AdmissionEvent,
    AdmissionHeld,
    AdmissionReleased,
    BacklogLimitChanged,
    DependencyBroken,
    DependencyMet,
    LimitChanged,
    QueuePaused,
    QueueResumed,
    QueueWeightChanged,
    SlotGranted,
    SlotReleased,
    TaskDequeued,
    TaskEnqueued,
    TaskReprioritised,
)
from contracts.claim import ClaimEvent, FilesAwaited, FilesClaimed, FilesReleased
from services.dashboard.projections.documents import Line

Operation: TypeAlias = (
    QueuePaused | QueueResumed | QueueWeightChanged | BacklogLimitChanged | AdmissionHeld | AdmissionReleased
)


def tell_admission(event: AdmissionEvent) -> Line:
    """Say what happened in the pool of slots."""
    match event:
        case LimitChanged(max_concurrent=limit, actor=actor):
            return f"{limit} tasks may run at once, by {actor}", ""
        case TaskEnqueued(depends_on=depends_on):
            return "waits for a slot" + (f" and for {', '.join(depends_on)}" if depends_on else ""), ""
        case TaskDequeued(reason=reason):
            return f"waits no longer: {reason}", ""
        case SlotGranted():
            return "got a slot", ""
        case SlotReleased(reason=reason):
            return f"gave its slot back: {reason}", ""
        case DependencyMet():
            return "what depends on it may start", "good"
        case DependencyBroken(outcome=outcome, dependents=dependents):
            return f"ended as {outcome}; held back: {', '.join(dependents) or 'nobody'}", "warn"
        case TaskReprioritised(priority=priority, before=before, actor=actor):
            return f"{priority} instead of {before}, by {actor}", ""
        case _:
            return _operation(event)


def _operation(event: Operation) -> Line:
    match event:
        case QueuePaused(queue=queue, actor=actor, reason=reason):
            return f"queue {queue} paused by {actor}" + (f": {reason}" if reason else ""), "warn"
        case QueueResumed(queue=queue, actor=actor):
            return f"queue {queue} goes on, by {actor}", "good"
        case QueueWeightChanged(queue=queue, weight=weight, actor=actor):
            return f"queue {queue} has weight {weight}, by {actor}", ""
        case BacklogLimitChanged(max_queued=most, actor=actor):
            return f"{most} tasks may wait, by {actor}", ""
        case AdmissionHeld(cause=cause, detail=detail):
            return f"no slot is given: {HELD[cause]}" + (f" ({detail})" if detail else ""), "warn"
        case AdmissionReleased(cause=cause):
            return f"no longer so: {HELD[cause]}", "good"
        case _:
            assert_never(event)


def tell_claim(event: ClaimEvent) -> Line:
    """Say who changes which files, and who waits for them."""
    match event:
        case FilesClaimed(files=files):
            return f"holds {sum(len(one.paths) for one in files)} files that its plan changes", ""
        case FilesAwaited(behind=behind, shared=shared):
            return f"waits in line for {', '.join(shared)}, behind {', '.join(behind)}", "warn"
        case FilesReleased(reason=reason):
            return f"lets go of its files: it {reason}", ""
        case _:
            assert_never(event)
