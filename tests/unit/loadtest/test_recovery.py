"""From the fault to the first new event of each interrupted task."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from loadtest.chaos.recovery import recovery
from loadtest.checker.record import Record, Row

FAULT = 100.0


def row(at: float, type_: str, task: str, service: str = "scheduler", **data: Any) -> Row:
    return Row(
        position=int(at * 100),
        xid=int(at * 100),
        stream=f"case-{task}",
        category="case",
        version=1,
        id="",
        type=type_,
        schema_version=1,
        data={"task_id": task, **data},
        meta={"service": service, "correlation_id": task, "synthetic": True},
        prev_hash="",
        hash="",
        recorded_at=datetime.fromtimestamp(at, UTC),
    )


def test_each_task_with_a_slot_counts_until_its_first_new_event() -> None:
    events = [
        row(90, "slot_granted", "a"),
        row(91, "slot_granted", "b"),
        row(92, "slot_granted", "c"),
        row(93, "slot_released", "c"),
        row(101.5, "stage_requested", "a"),
        row(101.9, "stage_requested", "b"),
        row(103, "stage_requested", "a"),
        row(100.5, "stage_requested", "c"),
    ]
    assert recovery(Record(events=events), "scheduler", FAULT) == {"a": 1.5, "b": 1.9000000000000057}


def test_what_others_finish_meanwhile_is_no_recovery_of_the_killed_service() -> None:
    events = [
        row(90, "slot_granted", "a"),
        row(100.1, "stage_completed", "a", "stage-runner", run_id="r"),
        row(102, "gate_requested", "a"),
    ]
    assert recovery(Record(events=events), "scheduler", FAULT) == {"a": 2.0}
    assert list(recovery(Record(events=events), "nats", FAULT).values()) == [100.1 - FAULT]


def test_a_stage_runner_interrupts_runs_that_were_asked_for_and_had_not_ended() -> None:
    events = [
        row(90, "stage_requested", "a", run_id="ra"),
        row(91, "stage_completed", "a", "stage-runner", run_id="ra"),
        row(92, "stage_requested", "b", run_id="rb"),
        row(101, "stage_resumed", "b", "stage-runner", run_id="rb"),
        row(101, "stage_started", "a", "stage-runner", run_id="other"),
    ]
    assert recovery(Record(events=events), "stage-runner", FAULT) == {"b": 1.0}


def test_a_real_task_is_left_out() -> None:
    submitted = row(80, "task_submitted", "a")
    submitted.meta["synthetic"] = False
    events = [submitted, row(90, "slot_granted", "a"), row(130, "stage_requested", "a")]
    assert recovery(Record(events=events), "scheduler", FAULT) == {}


def test_tasks_that_the_harm_names_are_those_that_count() -> None:
    events = [row(90, "slot_granted", "a"), row(101, "gate_requested", "b", "gate")]
    assert recovery(Record(events=events), "relay", FAULT, ["b"]) == {"b": 1.0}
