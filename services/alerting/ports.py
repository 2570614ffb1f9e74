"""Whom alerts are told to, as the courier sees it.

SinkError
├── DeliveryError   the sink was asked and did not take it
└── NotTriedError   the sink was not asked: it is known to be away
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from contracts.alert import Severity


class SinkError(Exception):
    """A sink has not taken an alert."""


class DeliveryError(SinkError):
    """The sink was asked and did not take it, or did not say so in time."""

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(f"{reason}; it may have been taken" if unknown else reason)
        #: Whether it may have taken it all the same: the call ended without an answer.
        self.unknown = unknown


class NotTriedError(SinkError):
    """The sink was not asked, because it has been failing."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"it is left alone for {retry_after_s:.1f} s after repeated failures")
        #: Seconds until asking makes sense again.
        self.retry_after_s = retry_after_s


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink is told."""

    alert_id: str
    rule: str
    severity: Severity
    summary: str
    task_id: str
    event_id: str
    raised_at: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to tell one sink of one alert."""

    alert_id: str
    sink: str
    attempt: int

    @property
    def timer(self) -> str:
        """Name the timer that brings it back for as long as it is not recorded as done."""
        return f"deliver:{self.sink}:{self.alert_id}"

    @property
    def subject(self) -> str:
        """Spell it for the timer's handler."""
        return f"{self.sink} {self.alert_id}"


class Sink(Protocol):
    """Somebody who is told."""

    async def tell(self, notice: Notice) -> None:
        """Tell, at least once: the same `alert_id` may come again. Raises DeliveryError, NotTriedError."""
        ...


class Courier(Protocol):
    """Carries alerts to sinks, outside of any unit of work."""

    @property
    def sinks(self) -> tuple[str, ...]:
        """Name the sinks that there are."""
        ...

    def take(self, delivery: Delivery) -> None:
        """Deliver soon and record what came of it; what is under way already is not begun twice."""
        ...
