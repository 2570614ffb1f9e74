"""Stream `admission`: who holds a slot and who waits for one, written by the scheduler's leader."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from contracts.message import Event
from contracts.task import Priority

#: Why no slot is given.
HoldCause: TypeAlias = Literal["drain", "host_memory", "mode"]
#: The same in words, for people.
HELD: dict[HoldCause, str] = {
    "drain": "the scheduler is draining",
    "host_memory": "the host is short of memory",
    "mode": "the mode admits nobody",
}


class _Admission(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "admission"
    key: ClassVar[str] = "pool"
    #: One pool of slots for now.
    pool: str = "main"


class LimitChanged(_Admission, frozen=True, kw_only=True):
    """How many tasks may hold a slot at once."""

    max_concurrent: int
    actor: str


class TaskEnqueued(_Admission, frozen=True, kw_only=True):
    """A task waits for a slot."""

    task_id: str
    priority: Priority
    queue: str
    depends_on: tuple[str, ...] = ()


class TaskDequeued(_Admission, frozen=True, kw_only=True):
    """A task stopped waiting without having got a slot."""

    task_id: str
    reason: str


class SlotGranted(_Admission, frozen=True, kw_only=True):
    """A task holds a slot from now on."""

    task_id: str
    #: Class whose turn it was; None in records from before tasks could count in a class above their own.
    rank: Priority | None = None
    #: Whether it came for being the oldest of the class, whatever the turn of its queue.
    eldest: bool = False


class SlotReleased(_Admission, frozen=True, kw_only=True):
    """A task gave its slot back."""

    task_id: str
    reason: str


class TaskReprioritised(_Admission, frozen=True, kw_only=True):
    """A waiting task is of another class from now on, and has its place in that one anew.

    What a task is queued with the next time is its own matter; the pool remembers nobody who is not in it.
    """

    task_id: str
    priority: Priority
    before: Priority
    actor: str


class QueuePaused(_Admission, frozen=True, kw_only=True):
    """No task of a queue gets a slot; those that hold one go on."""

    queue: str
    actor: str
    reason: str = ""


class QueueResumed(_Admission, frozen=True, kw_only=True):
    """A queue's tasks may get slots again; each has its place in the order from now on."""

    queue: str
    actor: str


class QueueWeightChanged(_Admission, frozen=True, kw_only=True):
    """How many starts a queue has in each round over the queues of a class."""

    queue: str
    weight: int
    actor: str


class BacklogLimitChanged(_Admission, frozen=True, kw_only=True):
    """How many tasks may wait before new ones are refused."""

    max_queued: int
    actor: str


class AdmissionHeld(_Admission, frozen=True, kw_only=True):
    """No slot is given to anybody while this lasts; tasks that hold one go on."""

    cause: HoldCause
    #: For people: what is short, and by how much.
    detail: str = ""
    actor: str = ""


class AdmissionReleased(_Admission, frozen=True, kw_only=True):
    """One cause for holding slots back is over; others may last."""

    cause: HoldCause
    actor: str = ""


class DependencyMet(_Admission, frozen=True, kw_only=True):
    """A task is done or in monitor: what depends on it may start."""

    task_id: str


class DependencyBroken(_Admission, frozen=True, kw_only=True):
    """A task ended without a change: what depends on it is parked."""

    task_id: str
    outcome: Literal["incident", "cancelled"]
    #: Tasks that waited for it.
    dependents: tuple[str, ...]


AdmissionEvent: TypeAlias = (
    LimitChanged
    | TaskEnqueued
    | TaskDequeued
    | SlotGranted
    | SlotReleased
    | TaskReprioritised
    | QueuePaused
    | QueueResumed
    | QueueWeightChanged
    | BacklogLimitChanged
    | AdmissionHeld
    | AdmissionReleased
    | DependencyMet
    | DependencyBroken
)
