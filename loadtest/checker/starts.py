"""Invariants 9 and 10, and what people may stop: who starts when it may, after what it depends on, and not too late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from loadtest.checker.record import Record, Row

#: Modes in which nobody gets a slot; in the first of them no run is asked for either.
SHUT = ("emergency-stop", "read-only")
#: Of so many starts in a row one at least is a class's own, while somebody in it can start; of eight of a class one at
#: least goes to its eldest. The most urgent class first; docs/scheduling.md.
WITHIN = {"urgent": 3, "normal": 6, "low": 17}
ELDEST = 8


def allowed(record: Record) -> Iterator[str]:
    """No slot is given in a mode that is shut, while admission is held, or to a task of a paused queue.

    After an emergency stop no run is asked for until it is lifted.
    """
    mode, holds, paused = "normal", set[str](), set[str]()
    queues: dict[str, str] = {}
    for row in record.events:
        match row.type:
            case "mode_changed":
                mode = row.data["mode"]
            case "admission_held":
                holds.add(row.data["cause"])
            case "admission_released":
                holds.discard(row.data["cause"])
            case "queue_paused":
                paused.add(row.data["queue"])
            case "queue_resumed":
                paused.discard(row.data["queue"])
            case "task_enqueued":
                queues[row.data["task_id"]] = row.data["queue"]
            case "slot_granted":
                if mode in SHUT or holds:
                    yield f"{row.place}: mode is {mode}, admission is held by {sorted(holds) or 'nobody'}"
                if queues.get(row.data["task_id"]) in paused:
                    yield f"{row.place}: its queue is paused"
            case "stage_requested" | "workspace_requested" if mode == SHUT[0]:
                yield f"{row.place}: after an emergency stop"


def dependencies(record: Record) -> Iterator[str]:
    """A task is admitted while all that it depends on is done or in monitor.

    What one transaction says is judged together: across streams its order says nothing.
    """
    needs: dict[str, list[str]] = {}
    there: set[str] = set()
    for _, together in groupby(record.events, key=lambda row: row.xid):
        admitted: list[Row] = []
        for row in together:
            match row.type:
                case "task_submitted":
                    needs[row.data["task_id"]] = row.data.get("depends_on", [])
                case "monitor_wait_started" | "task_done":
                    there.add(row.data["task_id"])
                case "task_cancelled" | "task_given_up":
                    there.discard(row.data["task_id"])
                case "task_admitted":
                    admitted.append(row)
        for row in admitted:
            for missing in sorted(set(needs.get(row.data["task_id"], ())) - there):
                yield f"{row.place}: {missing} is not there"


@dataclass
class _Waiting:
    priority: str
    queue: str
    needs: set[str]
    #: Starts before it could start, and how many of its class it found there; None while it cannot.
    place: tuple[int, int] | None = None


@dataclass
class _Pool:
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    #: By class, how many can start.
    able: Counter[str] = field(default_factory=Counter)
    #: How many wait for a task.
    needed: Counter[str] = field(default_factory=Counter)
    starts: int = 0

    def look(self, task: str) -> None:
        """See whether a task can start now."""
        one = self.waiting[task]
        can = not one.needs and one.queue not in self.paused
        if can and one.place is None:
            one.place = (self.starts, self.able[one.priority] + self._lifted(one.priority))
            self.able[one.priority] += 1
        elif not can and one.place is not None:
            one.place = None
            self.able[one.priority] -= 1

    def _lifted(self, priority: str) -> int:
        """Count who may stand in a class above its own because somebody waits for it."""
        ranks = [*WITHIN]
        return sum(
            ranks.index(one.priority) > ranks.index(priority)
            for name in self.needed
            if (one := self.waiting.get(name)) and one.place
        )

    def leave(self, task: str) -> _Waiting | None:
        """Take a task out."""
        one = self.waiting.pop(task, None)
        if one is not None:
            self.able[one.priority] -= one.place is not None
            self.needed = +(self.needed - Counter(one.needs))
        return one

    def met(self, task: str) -> None:
        """Let those go on that waited for a task."""
        if self.needed.pop(task, 0):
            for name, one in self.waiting.items():
                if task in one.needs:
                    one.needs.discard(task)
                    self.look(name)

    def late(self, one: _Waiting) -> str:
        """Say how much later than promised a task starts; empty if it does not."""
        assert one.place is not None
        starts, older = one.place
        bound = (older + 1) * ELDEST * WITHIN[one.priority]
        return (
            f"after {self.starts - starts} starts, {bound} are promised"
            if self.starts - starts > bound
            else ""
        )


_POOL = (
    "task_enqueued",
    "task_dequeued",
    "task_reprioritised",
    "dependency_met",
    "queue_paused",
    "queue_resumed",
    "slot_granted",
)


def bounds(record: Record) -> Iterator[str]:
    """Only who can start gets a slot, and nobody later than its class promises."""
    pool = _Pool()
    for row in record.of(*_POOL):
        task = row.data.get("task_id", "")
        match row.type:
            case "task_enqueued":
                needs = set(row.data.get("depends_on", ()))
                pool.waiting[task] = _Waiting(row.data["priority"], row.data["queue"], needs)
                pool.needed.update(needs)
                pool.look(task)
            case "task_dequeued":
                pool.leave(task)
            case "task_reprioritised":
                if (one := pool.leave(task)) is not None:
                    pool.waiting[task] = _Waiting(row.data["priority"], one.queue, one.needs)
                    pool.needed.update(one.needs)
                    pool.look(task)
            case "dependency_met":
                pool.met(task)
            case "queue_paused" | "queue_resumed":
                (pool.paused.add if row.type == "queue_paused" else pool.paused.discard)(row.data["queue"])
                for name in [name for name, one in pool.waiting.items() if one.queue == row.data["queue"]]:
                    pool.look(name)
            case _:
                pool.starts += 1
                if (one := pool.leave(task)) is None or one.place is None:
                    yield f"{row.place}: it could not start"
                elif late := pool.late(one):
                    yield f"{row.place}: {late}"
    for task, one in pool.waiting.items():
        if one.place and (late := pool.late(one)):
            yield f"{task} has not started {late}"
