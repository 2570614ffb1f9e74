"""What alerting decides about one alert: given events, when a command, then events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.alert import AlertDelivered, AlertDeliveryFailed, AlertEvent, AlertRaised, AlertResolved
from services.alerting.domain.alert import (
    LONGEST_PAUSE_S,
    AlertCommand,
    Confirm,
    Fail,
    Raise,
    Resolve,
    alert,
    pause_after,
)

ID = "disk_pressure-1"
FACTS = {
    "alert_id": ID,
    "rule": "disk_pressure",
    "severity": "critical",
    "summary": "full",
    "event_id": "e",
    "sinks": ("log", "webhook"),
}
RAISE, RAISED = Raise(**FACTS), AlertRaised(**FACTS)  # type: ignore[arg-type]
RESOLVE = Resolve(alert_id=ID, reason="room again")
RESOLVED = AlertResolved(alert_id=ID, reason="room again")
CONFIRM = Confirm(alert_id=ID, sink="webhook")
DELIVERED = AlertDelivered(alert_id=ID, sink="webhook", attempts=1)


def fail(attempt: int) -> Fail:
    return Fail(alert_id=ID, sink="webhook", attempt=attempt, reason="status 500")


def failed(attempts: int) -> AlertDeliveryFailed:
    return AlertDeliveryFailed(alert_id=ID, sink="webhook", attempts=attempts, reason="status 500")


def then(past: list[AlertEvent], command: AlertCommand) -> list[object]:
    return list(alert.decide(command, alert.fold(past)))


@pytest.mark.parametrize(
    ("past", "command", "expected"),
    [
        ([], RAISE, [RAISED]),
        ([RAISED], RAISE, []),
        ([RAISED, DELIVERED, RESOLVED], RAISE, []),
        ([], RESOLVE, []),
        ([RAISED], RESOLVE, [RESOLVED]),
        ([], CONFIRM, []),
        ([RAISED], CONFIRM, [DELIVERED]),
        ([RAISED], Confirm(alert_id=ID, sink="pager"), []),
        ([RAISED, failed(1)], CONFIRM, [AlertDelivered(alert_id=ID, sink="webhook", attempts=2)]),
        ([RAISED], fail(1), [failed(1)]),
        ([RAISED, failed(1)], fail(2), [failed(2)]),
        ([RAISED, failed(1)], fail(1), []),
        ([RAISED, DELIVERED], fail(1), []),
        # Told late is better than never told: what is resolved goes on being delivered.
        ([RAISED, RESOLVED], CONFIRM, [DELIVERED]),
    ],
)
def test_decisions(past: list[AlertEvent], command: AlertCommand, expected: list[AlertEvent]) -> None:
    assert then(past, command) == expected


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(st.sampled_from([RAISE, RESOLVE, CONFIRM]), st.integers(1, 4).map(fail)),
        max_size=12,
    )
)
def test_every_command_twice_is_once(commands: list[AlertCommand]) -> None:
    past: list[Any] = []
    for command in commands:
        past += list(alert.decide(command, alert.fold(past)))
        assert then(past, command) == []


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_the_pause_grows_and_never_ends_the_trying(attempts: int) -> None:
    assert pause_after(1) == 1.0
    assert pause_after(attempts) <= pause_after(attempts + 1) <= LONGEST_PAUSE_S == pause_after(7)
