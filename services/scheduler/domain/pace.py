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
    """How often a slot has come free while all of them were taken."""

    #: Seconds between two of them, on average.
    every_s: float
    #: How many were counted.
    over: int

    def wait_s(self, starts: int) -> float:
        """Return after how many seconds so many slots will have come free, if it goes on like this."""
        return self.every_s * starts

    def __str__(self) -> str:
        return f"a slot has come free every {spoken(self.every_s)} over the last {self.over}"


def pace(turns: Sequence[Turn], *, running: int, limit: int, now: datetime) -> Pace | None:
    """Measure the pace; None where there is no basis. `turns` are the latest, oldest first; `running` hold a slot now.

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
    # What came free in the first instant marks the beginning: how long it took is not known.
    counted = sum(at > releases[-1] for at in releases) if releases else 0
    if counted < LEAST:
        return None
    closed = releases[0] - releases[-1]
    # A silence that is longer than usual counts as well.
    every = max(closed / counted, (now - releases[-1]) / (counted + 1))
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
