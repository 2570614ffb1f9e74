"""Stream `mode`, how the whole system runs, and stream `aside`, who waits for another mode; written by the scheduler."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from contracts.message import Event

Mode: TypeAlias = Literal["normal", "minimal", "read-only", "emergency-stop"]
#: Codes under which a task is parked by a mode: it was stopped, or is not among those that may go on.
SetAside: TypeAlias = Literal["emergency_stop", "mode"]


class ModeChanged(Event, frozen=True, kw_only=True):
    """A person (or, later, a breaker) changed the mode."""

    stream: ClassVar[str] = "mode"
    key: ClassVar[str] = "scope"
    scope: str = "system"
    mode: Mode
    before: Mode
    actor: str
    reason: str


class _Aside(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "aside"
    key: ClassVar[str] = "scope"
    scope: str = "system"


class TaskSetAside(_Aside, frozen=True, kw_only=True):
    """A task waits, without a slot, for another mode."""

    task_id: str
    code: SetAside


class TasksCalledBack(_Aside, frozen=True, kw_only=True):
    """Tasks that waited for another mode are queued again, those that still do."""

    task_ids: tuple[str, ...]
    code: SetAside


ModeEvent: TypeAlias = ModeChanged
AsideEvent: TypeAlias = TaskSetAside | TasksCalledBack
