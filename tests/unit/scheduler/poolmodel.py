"""The pool on a page: lists that are looked through from end to end, after every event, as the rules are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

RANKS = ("urgent", "normal", "low")


class Task:
    def __init__(self, name: str, priority: str, queue: str, needs: Iterable[str]) -> None:
        self.name, self.priority, self.queue, self.needs = name, priority, queue, list(needs)


class Model:
    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}  # waiting, in order of arrival
        self.paused: set[str] = set()
        self.weights: dict[str, int] = defaultdict(lambda: 1)
        self.ready: dict[str, list[str]] = {
            rank: [] for rank in RANKS
        }  # whom only a pause can keep from starting
        self.able: dict[str, list[str]] = {rank: [] for rank in RANKS}  # who can start, in order
        self.ring: dict[str, list[str]] = {rank: [] for rank in RANKS}
        self.spent, self.since, self.passed = (dict.fromkeys(RANKS, 0) for _ in range(3))

    # What happens.

    def enqueue(self, name: str, priority: str, queue: str, needs: Iterable[str]) -> None:
        self.tasks[name] = Task(name, priority, queue, needs)
        self.settle(self.needs_of(name))

    def leave(self, name: str) -> None:
        del self.tasks[name]
        self.settle(())

    def met(self, name: str) -> None:
        for task in self.tasks.values():
            task.needs = [need for need in task.needs if need != name]
        self.settle(self.tasks)

    def reprioritise(self, name: str, priority: str) -> None:
        self.tasks[name].priority = priority
        self.settle(self.needs_of(name))

    def pause(self, queue: str) -> None:
        self.paused.add(queue)
        self.settle(())

    def resume(self, queue: str) -> None:
        self.paused.remove(queue)
        self.settle(())

    # Who is where.

    def needs_of(self, name: str) -> list[str]:
        """A task and whom it waits for, the nearest first."""
        found = [name]
        for one in found:
            found += [
                need for need in (self.tasks[one].needs if one in self.tasks else ()) if need not in found
            ]
        return found

    def counts(self, task: Task, rank: str) -> bool:
        """Whether a task is of a class, or of a less urgent one and needed there."""
        if RANKS.index(rank) >= RANKS.index(task.priority):
            return rank == task.priority
        return any(task.name in other.needs and self.counts(other, rank) for other in self.tasks.values())

    def settle(self, newcomers: Iterable[str]) -> None:
        """Whoever has lost a place leaves it; newcomers come to the end, in this order."""
        for rank in RANKS:
            ready = {name for name, task in self.tasks.items() if not task.needs and self.counts(task, rank)}
            row = self.ready[rank] = [name for name in self.ready[rank] if name in ready]
            row += [name for name in newcomers if name in ready and name not in row]
            able = {name for name in row if self.tasks[name].queue not in self.paused}
            line = self.able[rank] = [name for name in self.able[rank] if name in able]
            line += [name for name in row if name in able and name not in line]
            queues = list(dict.fromkeys(self.tasks[name].queue for name in line))
            if self.ring[rank] and self.ring[rank][0] not in queues:
                self.spent[rank] = 0
            self.ring[rank] = [queue for queue in self.ring[rank] if queue in queues]
            self.ring[rank] += [queue for queue in queues if queue not in self.ring[rank]]
            if not line:
                self.passed[rank] = 0

    # Whose turn it is.

    def order(self) -> Iterator[str]:
        """The classes as they come now."""
        for rank, patience in (("low", 16), ("normal", 4)):
            if self.passed[rank] >= patience:
                yield rank
        yield from RANKS

    def turn(self) -> tuple[str, str, bool] | None:
        for rank in self.order():
            if line := self.able[rank]:
                if self.since[rank] >= 7:
                    return line[0], rank, True
                first = self.ring[rank][0]
                lane = [name for name in self.ready[rank] if self.tasks[name].queue == first]
                return lane[0], rank, False
        return None

    def start(self) -> tuple[str, str, bool]:
        turn = self.turn()
        assert turn is not None
        name, rank, eldest = turn
        queue = self.tasks[name].queue
        self.passed = {one: 0 if one == rank else self.passed[one] + 1 for one in RANKS}
        self.since[rank] = 0 if eldest else self.since[rank] + 1
        if not eldest:
            self.spent[rank] += 1
        self.leave(name)
        if (
            not eldest
            and self.ring[rank]
            and self.ring[rank][0] == queue
            and self.spent[rank] >= self.weights[queue]
        ):
            self.ring[rank].append(self.ring[rank].pop(0))
            self.spent[rank] = 0
        return turn
