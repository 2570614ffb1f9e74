"""What deserves an alert though no event tells of it: the record itself says since when it is so, and until when.

It cannot come as an event. That the bus lost messages must not travel on that bus, and a service whose read model cannot
be built anew may own no stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from libs.eventstore.store import Condition
from services.alerting.domain.alert import AlertCommand, Raise, Resolve
from services.alerting.domain.rules import LONGEST_SUMMARY


def judge_condition(condition: Condition, sinks: tuple[str, ...]) -> Iterator[AlertCommand]:
    """Say what becomes of a condition: an alert when it began, its resolution when it ended, however late that is seen."""
    name = alert_id(condition)
    yield Raise(
        alert_id=name,
        rule=condition.kind,
        severity="critical",
        summary=_summary(condition)[:LONGEST_SUMMARY],
        event_id="",
        sinks=sinks,
    )
    if condition.ended is not None:
        yield Resolve(alert_id=name, reason=f"it ended at {condition.ended:%Y-%m-%d %H:%M:%S} UTC")


def alert_id(condition: Condition) -> str:
    """Name its alert. A restored record counts epochs from one again, so the moment belongs to the name."""
    began = condition.began.isoformat()
    digest = hashlib.sha256(f"{condition.kind} {condition.subject} {began}".encode()).hexdigest()
    return f"{condition.kind}-{digest[:16]}"


def _summary(condition: Condition) -> str:
    if condition.kind == "bus_epoch":
        return (
            f"the bus is made anew from the record (epoch {condition.subject}), because of what it held:"
            f" {condition.reason}"
        )
    return (
        f"the read model of {condition.subject} cannot be built anew, the old one is shown and does not go on:"
        f" {condition.reason}"
    )
