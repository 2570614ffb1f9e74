"""Stream `admission`: who holds a slot and who waits for one, written by the scheduler's leader."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from contracts.message import Event
from contracts.task import Priority


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


class SlotReleased(_Admission, frozen=True, kw_only=True):
    """A task gave its slot back."""

    task_id: str
    reason: str


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
    LimitChanged | TaskEnqueued | TaskDequeued | SlotGranted | SlotReleased | DependencyMet | DependencyBroken
)
