"""One alert: raised once, delivered to each sink however long that takes, resolved when its cause is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, assert_never

import msgspec

from contracts.alert import (
    AlertDelivered,
    AlertDeliveryFailed,
    AlertEvent,
    AlertRaised,
    AlertResolved,
    Severity,
)
from libs.eventsourcing.decider import Decider

#: Seconds before a delivery that failed is tried again: doubled each time, up to the longest, without end.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """A rule fired."""

    alert_id: str
    rule: str
    severity: Severity
    summary: str
    event_id: str
    task_id: str = ""
    sinks: tuple[str, ...] = ()


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """The cause of an alert is gone."""

    alert_id: str
    reason: str


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """A sink took an alert."""

    alert_id: str
    sink: str


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """A sink was asked and did not take an alert."""

    alert_id: str
    sink: str
    #: Which attempt it was, so that one failure counts once.
    attempt: int
    reason: str
    #: Whether the sink may have taken it all the same.
    unknown: bool = False


AlertCommand: TypeAlias = Raise | Resolve | Confirm | Fail


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as its events tell it."""

    raised: bool = False
    resolved: bool = False
    #: Sinks that have not taken it yet, with the failed attempts so far.
    waiting: dict[str, int] = msgspec.field(default_factory=dict)


def decide(command: AlertCommand, state: Alert) -> Iterator[AlertEvent]:
    """Decide about an alert; what is known already is silence.

    A resolved alert goes on being delivered: who was not told of a failure has to learn that there was one.
    """
    match command:
        case Raise() if not state.raised:
            yield AlertRaised(
                alert_id=command.alert_id,
                rule=command.rule,
                severity=command.severity,
                summary=command.summary,
                event_id=command.event_id,
                task_id=command.task_id,
                sinks=command.sinks,
            )
        case Resolve(alert_id=alert_id, reason=reason) if state.raised and not state.resolved:
            yield AlertResolved(alert_id=alert_id, reason=reason)
        case Confirm(alert_id=alert_id, sink=sink) if sink in state.waiting:
            yield AlertDelivered(alert_id=alert_id, sink=sink, attempts=state.waiting[sink] + 1)
        case Fail(alert_id=alert_id, sink=sink, attempt=attempt):
            if state.waiting.get(sink) == attempt - 1:
                yield AlertDeliveryFailed(
                    alert_id=alert_id,
                    sink=sink,
                    attempts=attempt,
                    reason=command.reason,
                    unknown=command.unknown,
                )


def evolve(state: Alert, event: AlertEvent) -> Alert:
    """Fold one event into the alert."""
    match event:
        case AlertRaised(sinks=sinks):
            return msgspec.structs.replace(state, raised=True, waiting=dict.fromkeys(sinks, 0))
        case AlertDelivered(sink=sink):
            waiting = {name: failed for name, failed in state.waiting.items() if name != sink}
            return msgspec.structs.replace(state, waiting=waiting)
        case AlertDeliveryFailed(sink=sink, attempts=attempts):
            return msgspec.structs.replace(state, waiting={**state.waiting, sink: attempts})
        case AlertResolved():
            return msgspec.structs.replace(state, resolved=True)
        case _:
            assert_never(event)


def pause_after(failed: int) -> float:
    """Tell how many seconds to wait after so many failed attempts."""
    doublings = min(max(failed - 1, 0), 16)
    return min(SHORTEST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)


alert: Decider[AlertCommand, Alert] = Decider("alert", Alert(), decide, evolve)
