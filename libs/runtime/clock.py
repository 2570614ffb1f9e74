"""Time and ids, as ports: the core never reads a clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


class Ids(Protocol):
    """Makes unique ids."""

    def new(self) -> str:
        """Return a new UUID."""
        ...


def is_recent(at: datetime, now: datetime, span: timedelta) -> bool:
    """Tell whether something was said less than a span ago; what is ahead of the clock was said before it was set back."""
    return timedelta() <= now - at < span


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


class RandomIds:
    """UUIDs of version 7 (RFC 9562): milliseconds and 74 random bits.

    The record's index of ids grows at its end then, as its table does, and does not touch pages all over. One instance a
    process, made by itself: what is in store would be the same in two that were forked with it.
    """

    def __init__(self) -> None:
        self._random = ""

    def new(self) -> str:
        """Return a new UUID."""
        if not self._random:
            self._random = os.urandom(_AT_ONCE * _BYTES).hex()
        random, self._random = self._random[: 2 * _BYTES], self._random[2 * _BYTES :]
        time_ = f"{time.time_ns() // 1_000_000:012x}"
        return f"{time_[:8]}-{time_[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"


#: Random bytes of an id, and ids for which the system is asked at once.
_BYTES, _AT_ONCE = 10, 64
#: Its first two bits are 1 and 0, the others random.
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
