"""Who has not ended at rest, and may not have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from loadtest.checker.record import Record, Row
from loadtest.checker.rest import tasks

PARKED = {"reason": "a is cancelled", "owner": "operator", "wake_up": "a done"}


def row(type_: str, task: str, category: str = "task", **data: Any) -> Row:
    return Row(
        position=1,
        xid=1,
        stream=f"{category}-{task}",
        category=category,
        version=1,
        id="",
        type=type_,
        schema_version=1,
        data={"task_id": task, **data},
        meta={},
        prev_hash="",
        hash="",
        recorded_at=datetime.fromtimestamp(1, UTC),
    )


#: `a` is cancelled, `b` depends on it and is parked, `c` depends on `b`.
CHAIN = [
    row("task_submitted", "a"),
    row("task_submitted", "b", depends_on=["a"]),
    row("task_submitted", "c", depends_on=["b"]),
    row("task_cancelled", "a"),
    row("task_parked", "b", **PARKED),
]


def found(*events: Row) -> list[str]:
    return list(tasks(Record(events=list(events)), ("a", "b", "c")))


def test_who_is_queued_behind_a_parked_one_waits_with_it_however_long_the_chain_is() -> None:
    assert found(*CHAIN) == []
    assert found(*CHAIN, row("task_submitted", "d", depends_on=["c"])) == []


def test_who_waits_for_nobody_that_is_parked_is_forgotten() -> None:
    (forgotten,) = found(*CHAIN, row("task_submitted", "d", depends_on=["a"]))
    assert forgotten.startswith("d has not ended")


def test_who_waits_for_one_that_is_done_is_forgotten_whatever_that_one_waited_for() -> None:
    (forgotten,) = found(*CHAIN, row("task_done", "c"), row("task_submitted", "d", depends_on=["c"]))
    assert forgotten.startswith("d has not ended")


@pytest.mark.parametrize("last", ["stage_requested", "gate_requested", "task_admitted"])
def test_who_has_begun_has_to_go_on_whatever_it_depended_on(last: str) -> None:
    (stuck,) = found(*CHAIN, row(last, "c"))
    assert stuck.startswith("c has not ended")


def test_a_slot_is_not_held_behind_a_parked_one() -> None:
    assert found(*CHAIN, row("slot_granted", "c", "admission")) == [
        "c holds a slot though task-c version 1 (task_submitted, position 1)"
    ]
