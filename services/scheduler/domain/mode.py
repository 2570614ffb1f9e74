"""The mode of the whole system: what each allows is said here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.mode import Mode, ModeChanged, ModeEvent, SetAside
from contracts.task import Stage, StageInput
from libs.eventsourcing.decider import Decider

#: There is one mode, that of the system.
SYSTEM = "system"


def admits(mode: Mode) -> bool:
    """Tell whether tasks get slots: in mode `read-only` those that have one go on, and nobody else does."""
    return mode in ("normal", "minimal")


def set_aside(mode: Mode, stage: str, known: StageInput) -> tuple[SetAside, str] | None:
    """Say, with the reason, that a task may not go on with a stage; None where it may.

    In mode `minimal` only tasks of low risk go on. What is not known to be of another yet finds that out, and a change that has
    its pull request is watched to the end of its window.
    """
    if mode == "emergency-stop":
        return "emergency_stop", "emergency stop"
    risk = known.specification.risk if known.specification else "low"
    if mode == "minimal" and risk != "low" and stage not in ("spec", "monitor"):
        return "mode", f"in mode minimal only tasks of low risk go on; the risk of this one is {risk}"
    return None


def left_out(mode: Mode) -> tuple[Stage, ...]:
    """List the stages that are skipped."""
    return ("think", "review") if mode == "minimal" else ()


def awaits(code: SetAside, mode: Mode) -> bool:
    """Tell whether tasks that were set aside under a code have to wait on."""
    return mode == "emergency-stop" or (code == "mode" and mode == "minimal")


class ChangeMode(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants the system to run differently."""

    mode: Mode
    actor: str
    reason: str


class ModeState(msgspec.Struct, frozen=True, kw_only=True):
    """The mode in force."""

    mode: Mode = "normal"


def decide(command: ChangeMode, state: ModeState) -> Iterator[ModeEvent]:
    """Change the mode; the mode that is in force already is silence."""
    if command.mode != state.mode:
        yield ModeChanged(mode=command.mode, before=state.mode, actor=command.actor, reason=command.reason)


def evolve(state: ModeState, event: ModeEvent) -> ModeState:
    """Remember the mode."""
    return ModeState(mode=event.mode)


mode: Decider[ChangeMode, ModeState] = Decider("mode", ModeState(), decide, evolve)
