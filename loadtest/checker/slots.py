"""Invariant 4: never more tasks running than the limit, and no task runs twice at a time."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.checker.once import RUN_ENDS
from loadtest.checker.record import Record

#: Slots before anybody changes the limit; architecture section 6.
LIMIT = 10


def slots(record: Record) -> Iterator[str]:
    """Slots are granted within the limit in force, once at a time, and given back by who had them."""
    limit = LIMIT
    held: set[str] = set()
    for row in record.of("limit_changed", "slot_granted", "slot_released"):
        if row.type == "limit_changed":
            limit = row.data["max_concurrent"]
            continue
        task = row.data["task_id"]
        if (task in held) == (row.type == "slot_granted"):
            yield f"{row.place}: {task} {'holds a slot already' if task in held else 'held none'}"
        held.symmetric_difference_update({task})
        if row.type == "slot_granted" and len(held) > limit:
            yield f"{row.place}: {len(held)} tasks hold slots, the limit is {limit}"


def live_runs(record: Record) -> Iterator[str]:
    """A run is live only while its task holds a slot; a task has one live run at most, and one workspace beside it.

    A withdrawal executes nothing and needs no slot.
    """
    held: set[str] = set()
    live: dict[tuple[str, bool], str] = {}
    for row in record.of("slot_granted", "slot_released", "stage_started", *RUN_ENDS):
        task = row.data["task_id"]
        place = (task, row.data.get("stage") == "workspace")
        match row.type:
            case "slot_granted":
                held.add(task)
            case "slot_released":
                held.discard(task)
                for run in (live[one] for one in ((task, False), (task, True)) if one in live):
                    yield f"{row.place}: {task} gave its slot back while {run} runs"
            case "stage_started":
                if task not in held and row.data["stage"] != "withdrawal":
                    yield f"{row.place}: {task} holds no slot"
                if place in live:
                    yield f"{row.place}: {live[place]} is still running"
                live[place] = row.data["run_id"]
            case _:
                if live.get(place) == row.data["run_id"]:
                    del live[place]
