"""Who holds a slot and who waits: at most `limit` tasks run, dependents only after what they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

import msgspec

from contracts.admission import (
    AdmissionEvent,
    DependencyBroken,
    DependencyMet,
    LimitChanged,
    SlotGranted,
    SlotReleased,
    TaskDequeued,
    TaskEnqueued,
)
from contracts.task import Priority
from libs.eventsourcing.decider import Decider

#: There is one pool of slots.
POOL = "main"
DEFAULT_LIMIT = 10
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


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Give free slots to those whose turn it is."""


AdmissionCommand: TypeAlias = Enqueue | Leave | Settle | Limit | Grant


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the queue."""

    task_id: str
    priority: Priority
    queue: str
    #: What it still waits for; what was there before it came is not among these.
    depends_on: tuple[str, ...]


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as the record tells it."""

    limit: int = DEFAULT_LIMIT
    running: tuple[str, ...] = ()
    #: In order of arrival.
    waiting: tuple[Waiting, ...] = ()

    def queued(self, task_id: str) -> Waiting | None:
        """Find a waiting task."""
        return next((entry for entry in self.waiting if entry.task_id == task_id), None)

    def dependents(self, task_id: str) -> tuple[str, ...]:
        """List who waits for a task."""
        return tuple(entry.task_id for entry in self.waiting if task_id in entry.depends_on)

    def next_ready(self) -> Waiting | None:
        """Find whose turn it is: urgent before normal before low, then in order of arrival."""
        ready = [entry for entry in self.waiting if not entry.depends_on]
        return min(ready, key=lambda entry: _RANK[entry.priority], default=None)


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
        case Limit(max_concurrent=limit, actor=actor):
            if limit != state.limit:
                yield LimitChanged(max_concurrent=limit, actor=actor)
        case Grant():
            while len(state.running) < state.limit and (turn := state.next_ready()):
                granted = SlotGranted(task_id=turn.task_id)
                state = evolve(state, granted)
                yield granted


def evolve(state: Admission, event: AdmissionEvent) -> Admission:
    """Fold one event into the pool."""
    match event:
        case LimitChanged(max_concurrent=limit):
            return msgspec.structs.replace(state, limit=limit)
        case TaskEnqueued(task_id=task_id):
            entry = Waiting(
                task_id=task_id, priority=event.priority, queue=event.queue, depends_on=event.depends_on
            )
            return msgspec.structs.replace(state, waiting=(*state.waiting, entry))
        case TaskDequeued(task_id=task_id):
            return msgspec.structs.replace(state, waiting=_without(state.waiting, task_id))
        case SlotGranted(task_id=task_id):
            return msgspec.structs.replace(
                state, waiting=_without(state.waiting, task_id), running=(*state.running, task_id)
            )
        case SlotReleased(task_id=task_id):
            return msgspec.structs.replace(
                state, running=tuple(running for running in state.running if running != task_id)
            )
        case DependencyMet(task_id=task_id):
            return msgspec.structs.replace(
                state, waiting=tuple(_relieved(entry, task_id) for entry in state.waiting)
            )
        case DependencyBroken():
            return state
        case _:
            assert_never(event)


def _relieved(entry: Waiting, met: str) -> Waiting:
    left = tuple(dependency for dependency in entry.depends_on if dependency != met)
    return entry if left == entry.depends_on else msgspec.structs.replace(entry, depends_on=left)


def _without(waiting: tuple[Waiting, ...], task_id: str) -> tuple[Waiting, ...]:
    return tuple(entry for entry in waiting if entry.task_id != task_id)


admission: Decider[AdmissionCommand, Admission] = Decider("admission", Admission(), decide, evolve)
