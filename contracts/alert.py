"""Stream `alert`: who was told what, written by alerting."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from contracts.message import Event

Severity: TypeAlias = Literal["critical", "warning"]


class _Alert(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "alert"
    key: ClassVar[str] = "alert_id"
    alert_id: str


class AlertRaised(_Alert, frozen=True, kw_only=True):
    """A rule fired."""

    rule: str
    severity: Severity
    summary: str
    #: The event that made it fire; empty for what no event tells of.
    event_id: str
    task_id: str = ""
    #: Names of the sinks that have to be told.
    sinks: tuple[str, ...] = ()


class AlertDelivered(_Alert, frozen=True, kw_only=True):
    """A sink took it."""

    sink: str
    attempts: int


class AlertDeliveryFailed(_Alert, frozen=True, kw_only=True):
    """A sink did not say that it took it this time; it is told again under the same id."""

    sink: str
    attempts: int
    reason: str
    #: Whether it may have taken it all the same: the call ended without an answer.
    unknown: bool = False


class AlertResolved(_Alert, frozen=True, kw_only=True):
    """Its cause is gone."""

    ends: ClassVar[bool] = True
    reason: str


AlertEvent: TypeAlias = AlertRaised | AlertDelivered | AlertDeliveryFailed | AlertResolved
