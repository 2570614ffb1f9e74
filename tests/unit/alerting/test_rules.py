"""Which events make which alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

import pytest

from contracts.budget import BudgetWarned
from contracts.gate import GateDecided
from contracts.message import Event, Meta, Recorded, stream_of, wire_type
from contracts.mode import Mode, ModeChanged
from contracts.task import (
    InfiniteLoopDetected,
    RepoSpec,
    StageInput,
    StageRequested,
    TaskGivenUp,
    TaskParked,
    TaskSpec,
)
from contracts.workspace import DiskPressureCleared, DiskPressureRaised
from services.alerting.app import service
from services.alerting.domain.alert import AlertCommand, Raise, Resolve
from services.alerting.domain.rules import RULES, Watched, judge

GIVEN = StageInput(spec=TaskSpec(title="t", repos=(RepoSpec(name="r", url="/r"),)))


def recorded(event: Event, *, version: int = 1, synthetic: bool = False) -> Recorded:
    return Recorded(
        id=f"id-{version}",
        stream=stream_of(event),
        version=version,
        type=wire_type(type(event)),
        schema_version=1,
        event=event,
        meta=Meta(service="elsewhere", synthetic=synthetic),
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        prev_hash="",
        hash="",
    )


def requested(attempt: int, retry: int = 0) -> StageRequested:
    return StageRequested(
        task_id="t1", run_id="t1-plan-1", stage="plan", attempt=attempt, retry=retry, input=GIVEN
    )


def decided(verdict: str, rounds: int) -> GateDecided:
    return GateDecided(review_id="t1-4-1", task_id="t1", gate=4, round=rounds, verdict=verdict)  # type: ignore[arg-type]


def warned(percent: Literal[80, 100]) -> BudgetWarned:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return BudgetWarned(ledger="main", scope="hour", percent=percent, used=80, ceiling=100, at=at)


def short(owner: str) -> TaskParked:
    return TaskParked(task_id="t1", code="tokens", reason="spent", owner=owner, wake_up="autopilot budget")


def mode(now: Mode, before: Mode) -> ModeChanged:
    return ModeChanged(mode=now, before=before, actor="ada", reason="smoke")


FULL = DiskPressureRaised(volume="data", used_percent=91.0, free_bytes=9 * 2**20)
FREE = DiskPressureCleared(volume="data", used_percent=70.0, free_bytes=30 * 2**20)
LOOP = InfiniteLoopDetected(task_id="t1", stage="plan", attempts=5)
GIVEN_UP = TaskGivenUp(task_id="t1", incident_id="i1", reason="x" * 10_000)


@pytest.mark.parametrize(
    ("event", "rule", "severity"),
    [
        (LOOP, "infinite_loop", "critical"),
        (decided("abstain", 3), "gate_quorum", "critical"),
        (FULL, "disk_pressure", "critical"),
        (mode("emergency-stop", "normal"), "emergency_stop", "critical"),
        (requested(3), "third_attempt", "warning"),
        (GIVEN_UP, "task_given_up", "warning"),
        (warned(80), "tokens_run_short", "warning"),
        (warned(100), "tokens_used_up", "critical"),
        (short("operator"), "task_budget_spent", "warning"),
    ],
)
def test_what_raises_an_alert(event: Event, rule: str, severity: str) -> None:
    (raised,) = judge(recorded(event), ("log",))
    assert isinstance(raised, Raise)
    assert (raised.rule, raised.severity, raised.event_id) == (rule, severity, "id-1")
    assert raised.sinks == ("log",)
    assert raised.task_id == ("t1" if hasattr(event, "task_id") else "")
    assert 0 < len(raised.summary) <= 500


@pytest.mark.parametrize(
    "event",
    [
        decided("abstain", 2),
        decided("reject", 3),
        requested(2),
        requested(4),
        requested(3, retry=1),
        mode("minimal", "normal"),
        FREE,
        short("scheduler"),
    ],
)
def test_what_does_not(event: Event) -> None:
    assert not [command for command in judge(recorded(event), ("log",)) if isinstance(command, Raise)]


@pytest.mark.parametrize("event", [LOOP, decided("abstain", 3), requested(3), GIVEN_UP])
def test_simulated_work_never_does(event: Event) -> None:
    assert list(judge(recorded(event, synthetic=True), ("log",))) == []


def test_the_same_news_makes_the_same_alert_and_other_news_another() -> None:
    def ids(version: int) -> list[str]:
        return [command.alert_id for command in judge(recorded(FULL, version=version), ("log",))]

    assert ids(1) == ids(1) != ids(3)


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (FULL, FREE),
        (mode("emergency-stop", "minimal"), mode("normal", "emergency-stop")),
        (mode("emergency-stop", "minimal"), mode("read-only", "emergency-stop")),
    ],
)
def test_the_end_of_a_condition_resolves_the_alert_that_its_beginning_raised(
    begins: Event, ends: Event
) -> None:
    (raised,) = judge(recorded(begins, version=6), ("log",))
    resolving: list[AlertCommand] = list(judge(recorded(ends, version=7), ("log",)))
    assert [(type(command), command.alert_id) for command in resolving] == [(Resolve, raised.alert_id)]


def test_the_handler_subscribes_to_everything_that_a_rule_looks_at() -> None:
    (follower,) = service.follows
    assert follower.events == get_args(Watched)
    assert len({rule.name for rule in RULES}) == len(RULES)
