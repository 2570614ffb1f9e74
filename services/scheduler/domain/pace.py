"""How often a slot comes free, measured on what the record tells of the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal, TypeAlias

import msgspec

#: What happened to a slot, and when it was recorded.
Turn: TypeAlias = tuple[Literal["slot_granted", "slot_released"], datetime]
#: Releases that are looked at at most, and below how many nothing is said.
MOST, LEAST = 50, 5


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often something has happened lately."""

    #: Seconds between two of them, on average.
    every_s: float
    #: How many were counted.
    over: int

    def wait_s(self, times: int) -> float:
        """Return after how many seconds it will have happened so many times, if it goes on like this."""
        return self.every_s * times

    def told(self, what: str) -> str:
        """Say it in words, for example of what `a slot has come free` is."""
        return f"{what} every {spoken(self.every_s)} over the last {self.over}"


def pace(turns: Sequence[Turn], *, running: int, limit: int, now: datetime) -> Pace | None:
    """Measure how often a slot comes free; None where there is no basis.

    `turns` are the latest, oldest first; `running` tasks hold a slot now.

    Only the time since all slots were taken counts: before that, slots came free at the pace of those who came.
    """
    releases: list[datetime] = []
    for at, together in groupby(reversed(turns), key=lambda turn: turn[1]):
        if running < limit or len(releases) >= MOST:
            break
        kinds = [kind for kind, _ in together]
        freed = kinds.count("slot_released")
        releases += [at] * freed
        running += freed - (len(kinds) - freed)
    return spacing(releases, now)


def spacing(times: Sequence[datetime], now: datetime) -> Pace | None:
    """Measure how often something happens that has happened at these times, the last one first; None for too few."""
    # What happened in the first instant marks the beginning: how long it took is not known.
    counted = sum(at > times[-1] for at in times) if times else 0
    if counted < LEAST:
        return None
    closed = times[0] - times[-1]
    # A silence that is longer than usual counts as well.
    every = max(closed / counted, (now - times[-1]) / (counted + 1))
    return Pace(every_s=every / timedelta(seconds=1), over=counted)


def spoken(seconds: float) -> str:
    """Say how long something takes as exactly as it is worth."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
