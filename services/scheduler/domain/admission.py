"""Who holds a slot and who waits: at most `limit` tasks run, dependents only after what they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

import msgspec

from contracts.admission import (
    AdmissionEvent,
    AdmissionHeld,
    AdmissionReleased,
    BacklogLimitChanged,
    DependencyBroken,
    DependencyMet,
    HoldCause,
    LimitChanged,
    QueuePaused,
    QueueResumed,
    QueueWeightChanged,
    SlotReleased,
    TaskDequeued,
    TaskEnqueued,
    TaskReprioritised,
)
from contracts.task import Priority
from libs.eventsourcing.decider import Decider
from services.scheduler.domain.pool import Admission, Said, evolve

#: There is one pool of slots.
POOL = "main"
#: What the number of slots may be set to at most, the backlog, and a queue's weight.
MAX_LIMIT, MAX_BACKLOG, MAX_WEIGHT = 1_000, 1_000_000, 100


class Enqueue(msgspec.Struct, frozen=True, kw_only=True):
    """A task wants a slot."""

    task_id: str
    priority: Priority
    queue: str
    depends_on: tuple[str, ...] = ()


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """A task needs no slot any more: it gives it back, or stops waiting for one."""

    task_id: str
    reason: str


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """A task's change is there, or will never be."""

    task_id: str
    outcome: Literal["met", "incident", "cancelled"]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changes how many tasks may run at once."""

    max_concurrent: int
    actor: str


class PauseQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants no task of a queue to start."""

    queue: str
    actor: str
    reason: str = ""


class ResumeQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody lets a queue's tasks start again."""

    queue: str
    actor: str


class WeighQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changes a queue's share."""

    queue: str
    weight: int
    actor: str


class Reprioritise(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody moves a waiting task to another class."""

    task_id: str
    priority: Priority
    actor: str


class LimitBacklog(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changes how many tasks may wait."""

    max_queued: int
    actor: str


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """No slot shall be given while this cause lasts."""

    cause: HoldCause
    detail: str = ""
    actor: str = ""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A cause for holding slots back is over."""

    cause: HoldCause
    actor: str = ""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Give free slots to those whose turn it is."""


#: What people, and those who look after the host, wish of the pool as a whole.
Operation: TypeAlias = (
    Limit | LimitBacklog | PauseQueue | ResumeQueue | WeighQueue | Reprioritise | Hold | Release
)
AdmissionCommand: TypeAlias = Enqueue | Leave | Settle | Grant | Operation


def decide(command: AdmissionCommand, state: Admission) -> Iterator[AdmissionEvent]:
    """Decide on the pool. A grant follows only from `Grant`, so that its caller can start the task at once."""
    match command:
        case Enqueue(task_id=task_id):
            if task_id not in state.running and state.queued(task_id) is None:
                yield TaskEnqueued(
                    task_id=task_id,
                    priority=command.priority,
                    queue=command.queue,
                    depends_on=command.depends_on,
                )
        case Leave(task_id=task_id, reason=reason):
            if task_id in state.running:
                yield SlotReleased(task_id=task_id, reason=reason)
            elif state.queued(task_id) is not None:
                yield TaskDequeued(task_id=task_id, reason=reason)
        case Settle(task_id=task_id, outcome=outcome):
            # Of what nobody waits for nothing has to be remembered: the pool stays as small as the queue.
            dependents = state.dependents(task_id)
            if dependents and outcome == "met":
                yield DependencyMet(task_id=task_id)
            elif dependents and outcome != "met":
                yield DependencyBroken(task_id=task_id, outcome=outcome, dependents=dependents)
        case Grant():
            yield from _granted(state)
        case _:
            yield from _operated(command, state)


def _granted(state: Admission) -> Iterator[AdmissionEvent]:
    free = 0 if state.holds else state.limit - len(state.running)
    while free > 0 and (turn := state.turn()):
        yield turn
        free -= 1
        if free:
            state = evolve(state, turn)


def _operated(command: Operation, state: Admission) -> Iterator[AdmissionEvent]:
    match command:
        case Limit(max_concurrent=limit, actor=actor):
            if limit != state.limit:
                yield LimitChanged(max_concurrent=limit, actor=actor)
        case LimitBacklog(max_queued=most, actor=actor):
            if most != state.max_queued:
                yield BacklogLimitChanged(max_queued=most, actor=actor)
        case PauseQueue(queue=queue, actor=actor, reason=reason):
            if queue not in state.paused:
                yield QueuePaused(queue=queue, actor=actor, reason=reason)
        case ResumeQueue(queue=queue, actor=actor):
            if queue in state.paused:
                yield QueueResumed(queue=queue, actor=actor)
        case WeighQueue(queue=queue, weight=weight, actor=actor):
            if weight != state.weights.get(queue, 1):
                yield QueueWeightChanged(queue=queue, weight=weight, actor=actor)
        case Reprioritise(task_id=task_id, priority=priority, actor=actor):
            entry = state.queued(task_id)
            if entry is not None and entry.priority != priority:
                yield TaskReprioritised(
                    task_id=task_id, priority=priority, before=entry.priority, actor=actor
                )
        case Hold(cause=cause, detail=detail, actor=actor):
            if state.holds.get(cause) != Said(actor=actor, reason=detail):
                yield AdmissionHeld(cause=cause, detail=detail, actor=actor)
        case Release(cause=cause, actor=actor):
            if cause in state.holds:
                yield AdmissionReleased(cause=cause, actor=actor)
        case _:
            assert_never(command)


admission: Decider[AdmissionCommand, Admission] = Decider(
    "admission", Admission(), decide, evolve, size=lambda state: len(state.waiting)
)
