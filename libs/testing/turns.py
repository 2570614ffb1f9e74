"""Invariant 10: who starts before whom, and how long anybody waits, judged by what was published and nothing else.

Published is (docs/scheduling.md): a class goes before a more urgent one only when it has let so many starts of others pass,
and of so many starts in a row one at least is a class's own, while somebody in it can start. A queue's tasks start one after
the other; of eight starts of a class one at least goes to whoever has waited longest in it. So a task with `n` older ones in
its class starts within `(n + 1) * 8 * P` starts. A task counts in its own class, and in every more urgent one whose tasks
wait for it. It waits from when nothing of its own keeps it from starting: its dependencies are there, its queue is not paused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts.message import Recorded

#: Classes of priority, the most urgent first, with the starts of which one at least is the class's own, and the starts of
#: others in a row that it lets pass before it may go before a more urgent one.
WITHIN = {"urgent": 3, "normal": 6, "low": 17}
PATIENCE = {"urgent": 0, "normal": 4, "low": 16}
RANKS = tuple(WITHIN)
#: Starts of a class of which one at least goes to its eldest.
ELDEST = 8


@dataclass
class _Waiting:
    priority: str
    queue: str
    needs: set[str]


@dataclass
class _Place:
    #: Starts and changes of the queue before it came here.
    starts: int
    change: int
    #: Who was here before it; some of them may have come with it.
    older: int


def slots_go_in_turn(events: Iterable[Recorded]) -> Iterator[str]:
    """Judge every start, and everybody who still waits after it."""
    turns = _Turns()
    for event in events:
        yield from turns.see(event)


class _Turns:
    """Who can start, class by class, after each event of the pool."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._paused: set[str] = set()
        self._able: dict[str, dict[str, _Place]] = {rank: {} for rank in RANKS}
        #: Starts of other classes in a row; starts of a class in a row that did not go to its eldest.
        self._passed = dict.fromkeys(RANKS, 0)
        self._younger = dict.fromkeys(RANKS, 0)
        self._starts = self._changes = 0

    def see(self, event: Recorded) -> Iterator[str]:
        """Take note of an event."""
        fact: Any = event.event
        match event.type:
            case "task_enqueued":
                self._waiting[fact.task_id] = _Waiting(fact.priority, fact.queue, set(fact.depends_on))
            case "task_dequeued":
                self._waiting.pop(fact.task_id, None)
            case "task_reprioritised":
                self._waiting[fact.task_id].priority = fact.priority
            case "dependency_met":
                for one in self._waiting.values():
                    one.needs.discard(fact.task_id)
            case "queue_paused":
                self._paused.add(fact.queue)
            case "queue_resumed":
                self._paused.discard(fact.queue)
            case "slot_granted":
                yield from self._start(fact, event.position)
                self._waiting.pop(fact.task_id, None)
            case _:
                return
        self._settle()

    def _start(self, fact: Any, position: int) -> Iterator[str]:
        task_id, entry = fact.task_id, self._waiting.get(fact.task_id)
        # Records from before tasks could count in a class above their own do not name it.
        rank = fact.rank or (entry.priority if entry else RANKS[0])
        line = self._able[rank]
        if entry is None or task_id not in line:
            yield f"{task_id} got a slot at {position} before it could start as {rank}"
            return
        if self._passed[rank] < PATIENCE[rank] and any(self._able[more] for more in _above(rank)):
            yield f"{task_id} got a slot at {position} before somebody more urgent"
        older = [name for name, place in line.items() if place.change < line[task_id].change]
        if older and (fact.eldest or any(self._waiting[name].queue == entry.queue for name in older)):
            yield f"{task_id} got a slot at {position} before somebody who was there before"
        self._younger[rank] = self._younger[rank] + 1 if older else 0
        if self._younger[rank] >= ELDEST:
            yield f"the last {ELDEST} starts of class {rank} passed over its eldest at {position}"
        self._starts += 1
        for other, able in self._able.items():
            yield from self._wait(other, able, task_id if other == rank else "", position)

    def _wait(self, rank: str, able: dict[str, _Place], started: str, position: int) -> Iterator[str]:
        """Count a start for a class: it was its own, or it was passed over."""
        self._passed[rank] = self._passed[rank] + 1 if able and not started else 0
        if self._passed[rank] >= WITHIN[rank]:
            yield f"{self._passed[rank]} starts in a row passed over class {rank} at {position}"
        for name, place in able.items():
            bound = (place.older + 1) * ELDEST * WITHIN[rank]
            if self._starts - place.starts > bound - (name != started):
                yield f"{name} does not start within {bound} starts as {rank} at {position}"

    def _settle(self) -> None:
        """Whoever has lost a place leaves it; newcomers come to the end."""
        self._changes += 1
        for rank, line in self._able.items():
            able = {name for name, one in self._waiting.items() if self._can_start(one, name, rank)}
            for name in [name for name in line if name not in able]:
                del line[name]
            older = len(able) - 1
            for name in sorted(able - line.keys()):
                line[name] = _Place(self._starts, self._changes, older)
            if not line:
                self._passed[rank] = 0

    def _can_start(self, one: _Waiting, name: str, rank: str) -> bool:
        return not one.needs and one.queue not in self._paused and self._counts(one, name, rank)

    def _counts(self, one: _Waiting, name: str, rank: str) -> bool:
        """Tell whether a task is of a class, or of a less urgent one and needed there."""
        if RANKS.index(rank) >= RANKS.index(one.priority):
            return rank == one.priority
        return any(
            name in other.needs and self._counts(other, other_name, rank)
            for other_name, other in self._waiting.items()
        )


def _above(rank: str) -> tuple[str, ...]:
    return RANKS[: RANKS.index(rank)]
