"""Who holds a slot and who waits: at most `limit` tasks run, dependents only after what they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, TypeVar, assert_never

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
    SlotGranted,
    SlotReleased,
    TaskDequeued,
    TaskEnqueued,
    TaskReprioritised,
)
from contracts.task import Priority
from libs.eventsourcing.decider import Decider

#: There is one pool of slots.
POOL = "main"
#: Tasks that hold a slot at once, and tasks that wait before new ones are refused, where nobody has said otherwise.
DEFAULT_LIMIT, DEFAULT_BACKLOG = 10, 10_000
#: What either may be set to at most, and a queue's weight.
MAX_LIMIT, MAX_BACKLOG, MAX_WEIGHT = 1_000, 1_000_000, 100
#: Starts that a forecast looks ahead.
FORESIGHT = 200
Key = TypeVar("Key")
Value = TypeVar("Value")
_RANK: dict[Priority, int] = {"urgent": 0, "normal": 1, "low": 2}


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


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the queue."""

    task_id: str
    priority: Priority
    queue: str
    #: What it still waits for; what was there before it came is not among these.
    depends_on: tuple[str, ...]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Who has stopped something, and why."""

    actor: str
    reason: str


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """How many others start before a task does."""

    #: If nobody comes and nobody leaves; without `exact`, they are no more than this whoever comes or leaves.
    ahead: int
    exact: bool


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as the record tells it."""

    limit: int = DEFAULT_LIMIT
    max_queued: int = DEFAULT_BACKLOG
    #: In the order in which they got their slots.
    running: tuple[str, ...] = ()
    #: In order of arrival.
    waiting: tuple[Waiting, ...] = ()
    #: Queues that are paused.
    paused: dict[str, Said] = {}
    #: Of queues that do not have weight 1.
    weights: dict[str, int] = {}
    #: While there is one, nobody gets a slot.
    holds: dict[HoldCause, Said] = {}

    def queued(self, task_id: str) -> Waiting | None:
        """Find a waiting task."""
        return next((entry for entry in self.waiting if entry.task_id == task_id), None)

    def dependents(self, task_id: str) -> tuple[str, ...]:
        """List who waits for a task."""
        return tuple(entry.task_id for entry in self.waiting if task_id in entry.depends_on)

    def upcoming(self, count: int = FORESIGHT) -> tuple[str, ...]:
        """Say who starts next, and in which order, if nobody comes and nobody leaves."""
        return tuple(entry.task_id for entry in self._ready()[:count])

    def forecast(self, task_id: str) -> Forecast | None:
        """Say how many start before a task; None where it cannot start: unmet dependencies, a paused queue, not queued."""
        ready = [entry.task_id for entry in self._ready()]
        return Forecast(ahead=ready.index(task_id), exact=True) if task_id in ready else None

    def _ready(self) -> list[Waiting]:
        ready = [entry for entry in self.waiting if not entry.depends_on and entry.queue not in self.paused]
        return sorted(ready, key=lambda entry: _RANK[entry.priority])


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
    while not state.holds and len(state.running) < state.limit and (turn := state.upcoming(1)):
        granted = SlotGranted(task_id=turn[0])
        state = evolve(state, granted)
        yield granted


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
            if cause not in state.holds:
                yield AdmissionHeld(cause=cause, detail=detail, actor=actor)
        case Release(cause=cause, actor=actor):
            if cause in state.holds:
                yield AdmissionReleased(cause=cause, actor=actor)
        case _:
            assert_never(command)


def evolve(state: Admission, event: AdmissionEvent) -> Admission:
    """Fold one event into the pool."""
    replace = msgspec.structs.replace
    match event:
        case TaskEnqueued(task_id=task_id):
            entry = Waiting(
                task_id=task_id, priority=event.priority, queue=event.queue, depends_on=event.depends_on
            )
            return replace(state, waiting=(*state.waiting, entry))
        case TaskDequeued(task_id=task_id):
            return replace(state, waiting=_without(state.waiting, task_id))
        case SlotGranted(task_id=task_id):
            return replace(state, waiting=_without(state.waiting, task_id), running=(*state.running, task_id))
        case SlotReleased(task_id=task_id):
            return replace(state, running=tuple(one for one in state.running if one != task_id))
        case DependencyMet(task_id=task_id):
            return replace(state, waiting=tuple(_relieved(entry, task_id) for entry in state.waiting))
        case DependencyBroken():
            return state
        case TaskReprioritised(task_id=task_id, priority=priority):
            moved = [replace(entry, priority=priority) for entry in state.waiting if entry.task_id == task_id]
            return replace(state, waiting=(*_without(state.waiting, task_id), *moved))
        case LimitChanged(max_concurrent=limit):
            return replace(state, limit=limit)
        case BacklogLimitChanged(max_queued=most):
            return replace(state, max_queued=most)
        case QueuePaused(queue=queue, actor=actor, reason=reason):
            return replace(state, paused={**state.paused, queue: Said(actor=actor, reason=reason)})
        case QueueResumed(queue=queue):
            return replace(state, paused=_but(state.paused, queue))
        case QueueWeightChanged(queue=queue, weight=weight):
            return replace(
                state, weights={**_but(state.weights, queue), **({queue: weight} if weight != 1 else {})}
            )
        case AdmissionHeld(cause=cause, actor=actor, detail=detail):
            return replace(state, holds={**state.holds, cause: Said(actor=actor, reason=detail)})
        case AdmissionReleased(cause=cause):
            return replace(state, holds=_but(state.holds, cause))
        case _:
            assert_never(event)


def _relieved(entry: Waiting, met: str) -> Waiting:
    left = tuple(dependency for dependency in entry.depends_on if dependency != met)
    return entry if left == entry.depends_on else msgspec.structs.replace(entry, depends_on=left)


def _without(waiting: tuple[Waiting, ...], task_id: str) -> tuple[Waiting, ...]:
    return tuple(entry for entry in waiting if entry.task_id != task_id)


def _but(values: dict[Key, Value], key: Key) -> dict[Key, Value]:
    return {name: value for name, value in values.items() if name != key}


admission: Decider[AdmissionCommand, Admission] = Decider("admission", Admission(), decide, evolve)
