"""The order within one class: a round over its queues by weight, and now and then whoever has waited longest.

Both are counted in whole starts, so that every reading of the record comes to the same order.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from libs.eventsourcing.persistent import Line, PersistentMap

#: Of so many starts of a class, the last goes to its eldest task, whatever the turn of that one's queue.
ELDEST = 8


class Turn(NamedTuple):
    """Whose turn it is in a class."""

    task_id: str
    eldest: bool


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one class that could start."""

    #: By queue, each in the order in which they became ready; a paused queue keeps its lane.
    lanes: PersistentMap[str, Line] = msgspec.field(default_factory=PersistentMap)
    #: Queues that are not paused and have somebody in their lane; whose turn it is comes first.
    ring: Line = msgspec.field(default_factory=Line)
    #: Everybody in the lanes of those queues, in the order in which they became ready.
    elders: Line = msgspec.field(default_factory=Line)
    #: Starts that the first queue of the ring has had in its turn.
    spent: int = 0
    #: Starts since the eldest had one.
    since: int = 0
    #: Starts that went to other classes in a row while somebody here could have started.
    passed: int = 0

    def turn(self) -> Turn | None:
        """Say whose turn it is; None where nobody can start."""
        if not self.elders.first:
            return None
        if self.since >= ELDEST - 1:
            return Turn(self.elders.first, True)
        return Turn(self.lanes[self.ring.first].first, False)

    def join(self, task_id: str, queue: str, paused: bool) -> Rank:
        """Put a task at the end of its queue."""
        lane = self.lanes.get(queue)
        lanes = self.lanes.insert(queue, (lane or Line()).append(task_id))
        if paused:
            return msgspec.structs.replace(self, lanes=lanes)
        ring = self.ring if lane else self.ring.append(queue)
        return msgspec.structs.replace(self, lanes=lanes, ring=ring, elders=self.elders.append(task_id))

    def leave(self, task_id: str, queue: str, paused: bool) -> Rank:
        """Take a task out, from wherever it is."""
        lane = self.lanes[queue].remove(task_id)
        lanes = self.lanes.insert(queue, lane) if lane.first else self.lanes.remove(queue)
        if paused:
            return msgspec.structs.replace(self, lanes=lanes)
        left = msgspec.structs.replace(self, lanes=lanes, elders=self.elders.remove(task_id))
        return left if lane.first else left._without(queue)

    def start(self, task_id: str, queue: str, eldest: bool, weight: int) -> Rank:
        """Let a task start. A queue's turn is over after as many starts as its weight, or with its last task."""
        left = msgspec.structs.replace(self.leave(task_id, queue, paused=False), passed=0)
        if eldest:
            return msgspec.structs.replace(left, since=0)
        if left.ring.first != queue:
            return msgspec.structs.replace(left, since=left.since + 1)
        if left.spent + 1 < weight:
            return msgspec.structs.replace(left, since=left.since + 1, spent=left.spent + 1)
        ring = left.ring.remove(queue).append(queue)
        return msgspec.structs.replace(left, since=left.since + 1, spent=0, ring=ring)

    def pass_over(self) -> Rank:
        """Count a start that went to another class."""
        return msgspec.structs.replace(self, passed=self.passed + 1) if self.elders.first else self

    def close(self, queue: str) -> Rank:
        """Pause a queue."""
        lane = self.lanes.get(queue)
        if lane is None:
            return self
        elders = self.elders
        for task_id in lane:
            elders = elders.remove(task_id)
        return msgspec.structs.replace(self, elders=elders)._without(queue)

    def open(self, queue: str) -> Rank:
        """Resume a queue: it is behind the others now, and so are its tasks."""
        lane = self.lanes.get(queue)
        if lane is None:
            return self
        elders = self.elders
        for task_id in lane:
            elders = elders.append(task_id)
        return msgspec.structs.replace(self, elders=elders, ring=self.ring.append(queue))

    def _without(self, queue: str) -> Rank:
        spent = 0 if queue == self.ring.first else self.spent
        passed = self.passed if self.elders.first else 0
        return msgspec.structs.replace(self, ring=self.ring.remove(queue), spent=spent, passed=passed)
