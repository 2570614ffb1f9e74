"""How long a task stood still: from the fault to the first new event of each task that it interrupted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from loadtest.checker.once import REQUESTS, RUN_ENDS
from loadtest.checker.record import Record, Row

#: What of a task an interruption is seen by, given the rows before the fault.
Interrupted = Callable[[Sequence[Row]], set[str]]


def recovery(record: Record, part: str, at: float, known: Iterable[str] = ()) -> dict[str, float]:
    """Return, by interrupted task, the seconds until its first new event; tasks without one are left out.

    Where one service was killed, only its own events count: what others finished meanwhile is no recovery.
    """
    # A real stage takes as long as its commands take: only simulated ones tell how long nobody was there.
    real = {row.data["task_id"] for row in record.of("task_submitted") if not row.meta.get("synthetic")}
    before = [row for row in record.events if row.recorded_at.timestamp() <= at]
    tasks = (set(known) or INTERRUPTED.get(part, holding_slots)(before)) - real
    found: dict[str, float] = {}
    for row in record.events:
        task, late = row.meta.get("correlation_id", ""), row.recorded_at.timestamp() - at
        if task in tasks and late > 0 and (part not in INTERRUPTED or row.meta["service"] == part):
            found[task] = min(late, found.get(task, late))
    return found


def holding_slots(before: Iterable[Row]) -> set[str]:
    """Tasks that hold a slot."""
    held: set[str] = set()
    for row in before:
        if row.type == "slot_granted":
            held.add(row.data["task_id"])
        elif row.type == "slot_released":
            held.discard(row.data["task_id"])
    return held


def _awaiting(asked: Collection[str], key: str, *answers: str) -> Interrupted:
    """Find tasks with something asked for that is not answered."""

    def find(before: Sequence[Row]) -> set[str]:
        open_ = {row.data[key]: row.data["task_id"] for row in before if row.type in asked}
        for row in before:
            if row.type in answers:
                open_.pop(row.data[key], None)
        return set(open_.values())

    return find


INTERRUPTED: dict[str, Interrupted] = {
    "scheduler": holding_slots,
    "stage-runner": _awaiting(REQUESTS, "run_id", *RUN_ENDS),
    "gate": _awaiting(("gate_requested",), "review_id", "gate_decided"),
}
