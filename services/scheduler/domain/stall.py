"""Tells when nothing starts although somebody is ready and slots are free: something is wrong then, or short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import msgspec

from contracts.stall import AdmissionFlows, AdmissionStalled, StallEvent
from libs.eventsourcing.decider import Decider
from services.scheduler.domain.mode import ModeState, admits
from services.scheduler.domain.pool import Admission

#: Ready tasks that are counted; more are more than enough.
COUNTED = 100


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of the pool, and for how many seconds it has been so."""

    stalled: bool
    lasting_s: float
    #: Seconds after which it is told.
    after_s: float
    ready: int
    running: int
    limit: int
    reason: str


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it was told."""

    told: bool = False


def is_stalled(pool: Admission, mode: ModeState) -> bool:
    """Tell whether slots are free and somebody is ready; not where a person has ordered that nothing starts."""
    ordered = bool({"drain", "mode"} & set(pool.holds)) or not admits(mode.mode)
    return not ordered and len(pool.running) < pool.limit and bool(pool.upcoming(1))


def reason_of(pool: Admission) -> str:
    """Say what holds slots back."""
    held = "; ".join(said.reason for said in pool.holds.values() if said.reason)
    return held or "no cause is known: look at the scheduler's log"


def decide(command: Look, state: Stall) -> Iterator[StallEvent]:
    """Tell of a stall once when it has lasted, and once when it is over."""
    if command.stalled and not state.told and command.lasting_s >= command.after_s:
        yield AdmissionStalled(
            lasting_s=round(command.lasting_s, 1),
            ready=command.ready,
            running=command.running,
            limit=command.limit,
            reason=command.reason,
        )
    elif state.told and not command.stalled:
        yield AdmissionFlows()


def evolve(_: Stall, event: StallEvent) -> Stall:
    """Fold one event."""
    match event:
        case AdmissionStalled():
            return Stall(told=True)
        case AdmissionFlows():
            return Stall()
        case _:
            assert_never(event)


stall: Decider[Look, Stall] = Decider("stall", Stall(), decide, evolve)
