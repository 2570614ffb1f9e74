"""How full the data directory's volume is: pressure begins high and ends low, so that it does not flap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import msgspec

from contracts.workspace import DiskEvent, DiskPressureCleared, DiskPressureRaised
from libs.eventsourcing.decider import Decider

#: There is one volume: the data directory's.
VOLUME = "data"


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """The volume was measured."""

    used_percent: float
    free_bytes: int
    #: Percent at which pressure begins and ends; the second should be well below the first.
    pause_percent: float
    resume_percent: float
    volume: str = VOLUME


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there is pressure."""

    pressure: bool = False


def decide(command: Measure, state: Disk) -> Iterator[DiskEvent]:
    """Decide whether a measurement begins or ends the pressure; in between everything stays as it is."""
    full = command.used_percent >= command.pause_percent
    if full and not state.pressure:
        yield DiskPressureRaised(
            volume=command.volume, used_percent=command.used_percent, free_bytes=command.free_bytes
        )
    elif state.pressure and not full and command.used_percent <= command.resume_percent:
        yield DiskPressureCleared(
            volume=command.volume, used_percent=command.used_percent, free_bytes=command.free_bytes
        )


def evolve(state: Disk, event: DiskEvent) -> Disk:
    """Fold one event into the volume."""
    match event:
        case DiskPressureRaised():
            return msgspec.structs.replace(state, pressure=True)
        case DiskPressureCleared():
            return msgspec.structs.replace(state, pressure=False)
        case _:
            assert_never(event)


disk: Decider[Measure, Disk] = Decider("disk", Disk(), decide, evolve)
