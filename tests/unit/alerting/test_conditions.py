"""What the record says of itself and what alerts come of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from libs.eventstore.store import Condition
from services.alerting.domain.alert import Raise, Resolve
from services.alerting.domain.conditions import alert_id, judge_condition

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LOST = Condition(kind="bus_epoch", subject="2", began=BEGAN, reason="there is no stream of events")
OLD = Condition(kind="rebuild_failed", subject="dashboard", began=BEGAN, reason="task_done cannot be folded")


@pytest.mark.parametrize("condition", [LOST, OLD])
def test_it_is_a_critical_alert_that_says_why(condition: Condition) -> None:
    (command,) = judge_condition(condition, ("log",))
    assert isinstance(command, Raise)
    assert (command.rule, command.severity, command.sinks) == (condition.kind, "critical", ("log",))
    assert condition.reason in command.summary
    assert condition.subject in command.summary


def test_what_ended_before_anybody_looked_is_told_and_resolved_at_once() -> None:
    ended = msgspec.structs.replace(LOST, ended=BEGAN + timedelta(seconds=3))
    raised, resolved = judge_condition(ended, ("log",))
    assert isinstance(raised, Raise)
    assert isinstance(resolved, Resolve)
    assert raised.alert_id == resolved.alert_id == alert_id(LOST)


def test_epochs_of_the_same_number_before_and_after_a_restore_are_two_alerts() -> None:
    again = msgspec.structs.replace(LOST, began=BEGAN + timedelta(days=1))
    other = msgspec.structs.replace(LOST, subject="3")
    assert len({alert_id(LOST), alert_id(again), alert_id(other), alert_id(OLD)}) == 4


def test_a_long_reason_is_cut() -> None:
    (command,) = judge_condition(msgspec.structs.replace(LOST, reason="x" * 10_000), ("log",))
    assert isinstance(command, Raise)
    assert len(command.summary) == 500
