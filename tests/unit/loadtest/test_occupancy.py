"""What is told of a record's occupancy is what its events say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loadtest import occupancy
from loadtest.checker.record import Record, Row
from loadtest.occupancy import Span

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def record(*events: tuple[float, str, dict[str, Any]]) -> Record:
    """A record of (seconds after noon, type, data), in that order."""
    rows = [
        Row(
            position=place,
            xid=place,
            stream="",
            category="",
            version=1,
            id="",
            type=kind,
            schema_version=1,
            data=data,
            meta={},
            prev_hash="",
            hash="",
            recorded_at=NOON + timedelta(seconds=at),
        )
        for place, (at, kind, data) in enumerate(events)
    ]
    return Record(events=rows)


def slot(at: float, what: str, task: str) -> tuple[float, str, dict[str, Any]]:
    return at, f"slot_{what}", {"task_id": task}


def started(at: float, task: str) -> tuple[float, str, dict[str, Any]]:
    return at, "stage_started", {"task_id": task, "run_id": f"{task}-spec-1", "stage": "spec"}


def test_slots_are_held_from_grant_to_release_and_at_once_where_they_overlap() -> None:
    found = occupancy.slots(
        record(
            slot(0, "granted", "a"),
            slot(1, "granted", "b"),
            slot(4, "released", "a"),
            slot(5, "released", "b"),
        )
    )
    assert [(span.name, span.seconds) for span in found] == [("a", 4.0), ("b", 4.0)]
    assert occupancy.peak(found) == 2
    begin = NOON.timestamp()
    assert occupancy.mean(found, begin, begin + 8) == 1.0


def test_what_ends_as_another_begins_is_not_at_once_with_it() -> None:
    assert occupancy.peak([Span("a", 0.0, 1.0), Span("b", 1.0, 2.0)]) == 1


def test_a_slot_counts_as_idle_from_its_release_to_the_first_stage_of_the_next_task() -> None:
    found = occupancy.delays(
        record(
            (0, "task_enqueued", {"task_id": "a"}),
            (0, "task_enqueued", {"task_id": "b"}),
            slot(0, "granted", "a"),
            started(1, "a"),
            slot(5, "released", "a"),
            slot(5, "granted", "b"),
            started(5.25, "b"),
            started(9, "b"),
        )
    )
    # The slot that `a` got had been nobody's, and a second stage of `b` waits for no slot.
    assert found == [0.25]


def test_a_slot_without_a_task_to_take_it_is_not_idle() -> None:
    found = occupancy.delays(
        record(
            slot(0, "granted", "a"),
            slot(5, "released", "a"),
            (60, "task_enqueued", {"task_id": "b"}),
            slot(60, "granted", "b"),
            started(60.5, "b"),
        )
    )
    assert found == [0.5]


def test_stages_are_told_by_engine_with_their_wait_and_their_length() -> None:
    run = {"task_id": "a", "run_id": "a-spec-1", "stage": "spec"}
    found = occupancy.stages(
        record(
            (0, "task_submitted", {"task_id": "a", "spec": {"engine": "noop"}}),
            (1, "stage_requested", run),
            (1.5, "stage_started", run),
            (4.5, "stage_completed", run),
        )
    )
    waited, lasted = found["noop", "spec"]
    assert (waited.count, waited.p50, lasted.p99) == (1, 0.5, 3.0)


def test_percentiles_are_those_of_what_was_measured() -> None:
    found = occupancy.spread(float(number) for number in range(101))
    assert (found.count, found.p50, found.p95, found.p99, found.longest) == (101, 50.0, 95.0, 99.0, 100.0)
    assert occupancy.spread([]).longest == 0.0


@pytest.mark.parametrize("spans", [[], [Span("a", 0.0, 2.0)]])
def test_what_ends_before_or_begins_after_a_time_does_not_count_in_it(spans: list[Span]) -> None:
    assert occupancy.mean(spans, 10.0, 20.0) == 0.0
