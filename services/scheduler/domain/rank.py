"""The order within one class: a round over its queues by weight, and now and then whoever has waited longest.

Both are counted in whole starts, so that every reading of the record comes to the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from libs.eventsourcing.persistent import PersistentMap, Row

replace = msgspec.structs.replace
#: Of so many starts of a class, the last goes to its eldest task, whatever the turn of that one's queue.
ELDEST = 8


class Turn(NamedTuple):
    """Whose turn it is in a class."""

    task_id: str
    eldest: bool


class Lane(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One queue's tasks of one class."""

    row: Row = Row()
    #: Its number in the ring; None while the queue is paused.
    turn: int | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Where a task stands: its number in the lane, and among the elders; None while its queue is paused."""

    lane: int
    elder: int | None


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one class that could start."""

    #: By queue, those that have somebody, each in the order in which they became ready.
    lanes: PersistentMap[str, Lane] = msgspec.field(default_factory=PersistentMap)
    #: Queues that are not paused; whose turn it is comes first.
    ring: Row = Row()
    #: Everybody in the lanes of those queues, in the order in which they became ready.
    elders: Row = Row()
    #: Starts that the first queue of the ring has had in its turn.
    spent: int = 0
    #: Starts since the eldest had one.
    since: int = 0
    #: Starts that went to other classes in a row while somebody here could have started.
    passed: int = 0

    def turn(self) -> Turn | None:
        """Say whose turn it is; None where nobody can start."""
        eldest = self.elders.front
        if not eldest or self.since >= ELDEST - 1:
            return Turn(eldest, True) if eldest else None
        return Turn(self.lanes[self.ring.front].row.front, False)

    def join(self, task_id: str, queue: str, paused: bool) -> tuple[Rank, Place]:
        """Put a task at the end of its queue, and say where it stands."""
        lane, ring, elders = self.lanes.get(queue) or Lane(), self.ring, self.elders
        place = Place(lane=lane.row.next, elder=None if paused else elders.next)
        turn = lane.turn
        if not paused:
            elders = elders.append(task_id)
            if turn is None:
                turn, ring = ring.next, ring.append(queue)
        lanes = self.lanes.insert(queue, Lane(row=lane.row.append(task_id), turn=turn))
        return replace(self, lanes=lanes, ring=ring, elders=elders), place

    def leave(self, place: Place, queue: str) -> Rank:
        """Take a task out, from wherever it stands."""
        lane = self.lanes[queue]
        row = lane.row.remove(place.lane)
        elders = self.elders if place.elder is None else self.elders.remove(place.elder)
        lanes = self.lanes.insert(queue, Lane(row=row, turn=lane.turn)) if row else self.lanes.remove(queue)
        left = replace(self, lanes=lanes, elders=elders)
        return left if row or lane.turn is None else left._without(lane.turn)

    def start(self, place: Place, queue: str, eldest: bool, weight: int) -> Rank:
        """Let a task start. A queue's turn is over after as many starts as its weight, or with its last task."""
        left = replace(self.leave(place, queue), passed=0)
        if eldest:
            return replace(left, since=0)
        if left.ring.front != queue:
            return replace(left, since=left.since + 1)
        if left.spent + 1 < weight:
            return replace(left, since=left.since + 1, spent=left.spent + 1)
        lane = Lane(row=left.lanes[queue].row, turn=left.ring.next)
        ring = left.ring.remove(left.ring.first).append(queue)
        return replace(left, since=left.since + 1, spent=0, ring=ring, lanes=left.lanes.insert(queue, lane))

    def pass_over(self) -> Rank:
        """Count a start that went to another class."""
        return replace(self, passed=self.passed + 1) if self.elders else self

    def close(self, queue: str, places: Mapping[str, Place]) -> tuple[Rank, dict[str, Place]]:
        """Pause a queue, whose tasks stand in these places, and say where they stand then."""
        lane, elders = self.lanes.get(queue), self.elders
        if lane is None or lane.turn is None:
            return self, {}
        for place in places.values():
            assert place.elder is not None, "whoever is in the ring is among the elders"
            elders = elders.remove(place.elder)
        lanes = self.lanes.insert(queue, Lane(row=lane.row))
        closed = replace(self, elders=elders, lanes=lanes)._without(lane.turn)
        return closed, {name: Place(lane=place.lane, elder=None) for name, place in places.items()}

    def open(self, queue: str, places: Mapping[str, Place]) -> tuple[Rank, dict[str, Place]]:
        """Resume a queue: it is behind the others now, and so are its tasks."""
        lane, elders, opened = self.lanes.get(queue), self.elders, {}
        if lane is None:
            return self, {}
        for name, place in places.items():
            opened[name] = Place(lane=place.lane, elder=elders.next)
            elders = elders.append(name)
        lanes = self.lanes.insert(queue, Lane(row=lane.row, turn=self.ring.next))
        return replace(self, elders=elders, lanes=lanes, ring=self.ring.append(queue)), opened

    def _without(self, turn: int) -> Rank:
        """Take a queue out of the ring."""
        spent = 0 if turn == self.ring.first else self.spent
        return replace(
            self, ring=self.ring.remove(turn), spent=spent, passed=self.passed if self.elders else 0
        )
