"""The mode of the whole system."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.mode import Mode, ModeChanged, ModeEvent
from libs.eventsourcing.decider import Decider


class ChangeMode(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants the system to run differently."""

    mode: Mode
    actor: str
    reason: str


class ModeState(msgspec.Struct, frozen=True, kw_only=True):
    """The mode in force."""

    mode: Mode = "normal"

    @property
    def halted(self) -> bool:
        """Tell whether no stage may be started."""
        return self.mode == "emergency-stop"


def decide(command: ChangeMode, state: ModeState) -> Iterator[ModeEvent]:
    """Change the mode; the mode that is in force already is silence."""
    if command.mode != state.mode:
        yield ModeChanged(mode=command.mode, before=state.mode, actor=command.actor, reason=command.reason)


def evolve(state: ModeState, event: ModeEvent) -> ModeState:
    """Remember the mode."""
    return ModeState(mode=event.mode)


mode: Decider[ChangeMode, ModeState] = Decider("mode", ModeState(), decide, evolve)
