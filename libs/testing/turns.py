"""Invariant 10: who starts before whom, judged by what was published and nothing else (docs/scheduling.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from contracts.message import Recorded

#: Classes of priority, the most urgent first: of so many starts in a row one at least is a class's own while somebody
#: of it could start, and so many starts of others in a row it lets pass before it goes first.
WITHIN = {"urgent": 3, "normal": 6, "low": 17}
PATIENCE = {"urgent": 0, "normal": 4, "low": 16}
CLASSES = (*WITHIN,)
#: Of so many starts of a class one at least is its eldest's.
ELDEST = 8


class _Entry:
    def __init__(self, fact: Any) -> None:
        self.priority, self.queue, self.needs = fact.priority, fact.queue, set(fact.depends_on)
        #: Since it can start: when that was, the starts until then, and how many it found before it.
        self.able: tuple[int, int, int] | None = None


class _Order:
    def __init__(self) -> None:
        self.waiting: dict[str, _Entry] = {}
        self.paused: set[str] = set()
        self.starts = 0
        #: Starts until each class had its last.
        self.last = dict.fromkeys(CLASSES, 0)

    def able(self, priority: str) -> list[_Entry]:
        return [one for one in self.waiting.values() if one.able and one.priority == priority]

    def settle(self, position: int) -> None:
        """See who can start now, and who no longer."""
        needed = {need for one in self.waiting.values() for need in one.needs}
        free = {name: not one.needs and one.queue not in self.paused for name, one in self.waiting.items()}
        for name, one in self.waiting.items():
            if not free[name]:
                one.able = None
            elif one.able is None:
                # Whoever is needed may count as more urgent than it is.
                lower = CLASSES[CLASSES.index(one.priority) :]
                older = sum(
                    1
                    for other, entry in self.waiting.items()
                    if entry.able
                    and (entry.priority == one.priority or (entry.priority in lower and other in needed))
                )
                one.able = (position, self.starts, older)

    def overdue(self, entry: _Entry) -> bool:
        assert entry.able is not None
        _, starts, older = entry.able
        return self.starts - starts > (older + 1) * ELDEST * WITHIN[entry.priority]


def slots_go_in_turn(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 10: only who can start does, a class before a more urgent one only after it has let enough pass, a queue's
    tasks one after the other, and everybody within the bound of its class.
    """
    order = _Order()
    for event in events:
        fact: Any = event.event
        match event.type:
            case "task_enqueued":
                order.waiting[fact.task_id] = _Entry(fact)
            case "task_dequeued":
                order.waiting.pop(fact.task_id, None)
            case "dependency_met":
                for entry in order.waiting.values():
                    entry.needs.discard(fact.task_id)
            case "queue_paused":
                order.paused.add(fact.queue)
            case "queue_resumed":
                order.paused.discard(fact.queue)
            case "task_reprioritised":
                order.waiting[fact.task_id].priority, order.waiting[fact.task_id].able = fact.priority, None
            case "slot_granted":
                yield from _granted(order, fact, event.position)
                order.waiting.pop(fact.task_id, None)
            case _:
                continue
        order.settle(event.position)
    yield from (
        f"{name} should have started"
        for name, one in order.waiting.items()
        if one.able and order.overdue(one)
    )


def _granted(order: _Order, fact: Any, position: int) -> Iterator[str]:
    name, entry = fact.task_id, order.waiting.get(fact.task_id)
    order.starts += 1
    if entry is None or entry.able is None:
        yield f"{name} got a slot at {position} before it could start"
        return
    rank = getattr(fact, "rank", None) or entry.priority
    passed, order.last[rank] = order.starts - 1 - order.last[rank], order.starts
    if passed < PATIENCE[rank] and any(order.able(more) for more in CLASSES[: CLASSES.index(rank)]):
        yield f"{name} got a slot at {position} before somebody more urgent"
    eldest = getattr(fact, "eldest", False)
    for other in order.able(entry.priority) if rank == entry.priority else ():
        assert other.able is not None
        if other.able[0] < entry.able[0] and (eldest or other.queue == entry.queue):
            yield f"{name} got a slot at {position} before somebody who was there before"
            break
    if order.overdue(entry):
        yield f"{name} got a slot at {position}, later than its class promises"
