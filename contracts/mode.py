"""Stream `mode`: how the whole system runs, written by the scheduler."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from contracts.message import Event

Mode: TypeAlias = Literal["normal", "minimal", "read-only", "emergency-stop"]


class ModeChanged(Event, frozen=True, kw_only=True):
    """A person (or, later, a breaker) changed the mode."""

    stream: ClassVar[str] = "mode"
    key: ClassVar[str] = "scope"
    scope: str = "system"
    mode: Mode
    before: Mode
    actor: str
    reason: str


ModeEvent: TypeAlias = ModeChanged
