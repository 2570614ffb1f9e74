"""The pool as the record tells it: who holds a slot, who waits, for what, and in which order.

An entry stands in the order of its own class once nothing keeps it from starting, and beside that in the order of every
more urgent class whose tasks wait for it, directly or through others. It never loses a place by gaining another.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar, assert_never

import msgspec

from contracts.admission import (
    AdmissionEvent,
    AdmissionHeld,
    AdmissionReleased,
    BacklogLimitChanged,
    DependencyBroken,
    DependencyMet,
    HoldCause,
    LimitChanged,
    QueuePaused,
    QueueResumed,
    QueueWeightChanged,
    SlotGranted,
    SlotReleased,
    TaskDequeued,
    TaskEnqueued,
    TaskReprioritised,
)
from contracts.task import Priority
from libs.eventsourcing.persistent import PersistentMap
from services.scheduler.domain.rank import ELDEST, Place, Rank

replace = msgspec.structs.replace
Key = TypeVar("Key")
Value = TypeVar("Value")

RANKS: tuple[Priority, ...] = ("urgent", "normal", "low")
#: Starts of other classes in a row that a class lets pass before it is due; low comes first where both are.
PATIENCE: dict[Priority, int] = {"low": 16, "normal": 4}
#: Of so many starts in a row one at least is the class's own, while somebody there could start.
WITHIN: dict[Priority, int] = {"urgent": 3, "normal": 6, "low": 17}
#: Tasks that hold a slot at once, and tasks that wait before new ones are refused, where nobody has said otherwise.
DEFAULT_LIMIT, DEFAULT_BACKLOG = 10, 10_000
#: Starts that a forecast looks ahead.
FORESIGHT = 200


class Waiting(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A task in the queue."""

    task_id: str
    priority: Priority
    queue: str
    #: What it still waits for; what was there before it came is not among these.
    depends_on: tuple[str, ...]
    #: Where it stands in the classes that it counts in, once it waits for nothing.
    urgent: Place | None = None
    normal: Place | None = None
    low: Place | None = None

    def place(self, rank: Priority) -> Place | None:
        """Return where it stands in a class."""
        found: Place | None = getattr(self, rank)
        return found


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """What waiting tasks need, whether it waits itself, runs, or is gone for now."""

    #: Who waits for it, each with a number that rises with arrival, and the number of the next.
    waiters: PersistentMap[str, int] = msgspec.field(default_factory=PersistentMap)
    next: int = 0
    #: How many of them count as urgent, and how many as normal.
    urgent: int = 0
    normal: int = 0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Who has stopped something, and why."""

    actor: str
    reason: str


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """How many others start before a task does."""

    #: If nobody comes and nobody leaves; without `exact`, they are no more than this whoever comes or leaves.
    ahead: int
    exact: bool


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as the record tells it."""

    limit: int = DEFAULT_LIMIT
    max_queued: int = DEFAULT_BACKLOG
    #: In the order in which they got their slots.
    running: tuple[str, ...] = ()
    waiting: PersistentMap[str, Waiting] = msgspec.field(default_factory=PersistentMap)
    #: By the task that is waited for.
    needed: PersistentMap[str, Needed] = msgspec.field(default_factory=PersistentMap)
    urgent: Rank = Rank()
    normal: Rank = Rank()
    low: Rank = Rank()
    #: Queues that are paused.
    paused: dict[str, Said] = {}
    #: Of queues that do not have weight 1.
    weights: dict[str, int] = {}
    #: While there is one, nobody gets a slot.
    holds: dict[HoldCause, Said] = {}

    def queued(self, task_id: str) -> Waiting | None:
        """Find a waiting task."""
        return self.waiting.get(task_id)

    def dependents(self, task_id: str) -> tuple[str, ...]:
        """List who waits for a task, in order of arrival."""
        needed = self.needed.get(task_id)
        return tuple(sorted(needed.waiters, key=needed.waiters.__getitem__)) if needed else ()

    def ranks(self, entry: Waiting) -> tuple[Priority, ...]:
        """List the classes that a waiting task counts in: its own, and more urgent ones whose tasks wait for it."""
        needed = self.needed.get(entry.task_id)
        if needed is None:
            return (entry.priority,)
        above = RANKS[: RANKS.index(entry.priority)]
        return (*(rank for rank in above if getattr(needed, rank)), entry.priority)

    def turn(self) -> SlotGranted | None:
        """Say who starts next, if anybody may; None where nobody can."""
        due = [rank for rank, patience in PATIENCE.items() if self.rank(rank).passed >= patience]
        for rank in (*due, *RANKS):
            if turn := self.rank(rank).turn():
                return SlotGranted(task_id=turn.task_id, rank=rank, eldest=turn.eldest)
        return None

    def upcoming(self, count: int = FORESIGHT) -> tuple[str, ...]:
        """Say who starts next, and in which order, if nobody comes and nobody leaves."""
        then = self
        order: list[str] = []
        while len(order) < count and (turn := then.turn()):
            then = evolve(then, turn)
            order.append(turn.task_id)
        return tuple(order)

    def forecast(self, task_id: str, order: Sequence[str] | None = None) -> Forecast | None:
        """Say how many start before a task; None where it cannot start: unmet dependencies, a paused queue, not queued.

        `order` is what `upcoming` gives, for those who have asked already.
        """
        entry = self.queued(task_id)
        if entry is None or entry.depends_on or entry.queue in self.paused:
            return None
        order = self.upcoming() if order is None else order
        if task_id in order:
            return Forecast(ahead=order.index(task_id), exact=True)
        return Forecast(
            ahead=min(bound(rank, len(self.rank(rank).elders) - 1) for rank in self.ranks(entry)) - 1,
            exact=False,
        )

    def rank(self, rank: Priority) -> Rank:
        """Return the order within a class."""
        found: Rank = getattr(self, rank)
        return found


def bound(rank: Priority, older: int) -> int:
    """Return the starts, its own included, within which a task starts that had so many older ones in its class."""
    return (older + 1) * ELDEST * WITHIN[rank]


def evolve(state: Admission, event: AdmissionEvent) -> Admission:
    """Fold one event into the pool."""
    match event:
        case TaskEnqueued():
            return _enqueued(state, event)
        case SlotGranted():
            return _granted(state, event)
        case SlotReleased(task_id=task_id):
            return replace(state, running=tuple(one for one in state.running if one != task_id))
        case TaskDequeued(task_id=task_id):
            return _dequeued(state, task_id)
        case DependencyMet(task_id=task_id):
            return _met(state, task_id)
        case DependencyBroken():
            return state
        case TaskReprioritised(task_id=task_id, priority=priority):
            return _reprioritised(state, task_id, priority)
        case _:
            return _operated(state, event)


Move: TypeAlias = Callable[[Rank, str, dict[str, Place]], tuple[Rank, dict[str, Place]]]
Operated: TypeAlias = (
    LimitChanged
    | BacklogLimitChanged
    | QueuePaused
    | QueueResumed
    | QueueWeightChanged
    | AdmissionHeld
    | AdmissionReleased
)


def _operated(state: Admission, event: Operated) -> Admission:
    match event:
        case LimitChanged(max_concurrent=limit):
            return replace(state, limit=limit)
        case BacklogLimitChanged(max_queued=most):
            return replace(state, max_queued=most)
        case QueuePaused(queue=queue, actor=actor, reason=reason):
            paused = {**state.paused, queue: Said(actor=actor, reason=reason)}
            return replace(_moved(state, queue, Rank.close), paused=paused)
        case QueueResumed(queue=queue):
            return replace(_moved(state, queue, Rank.open), paused=_but(state.paused, queue))
        case QueueWeightChanged(queue=queue, weight=weight):
            others = _but(state.weights, queue)
            return replace(state, weights=others if weight == 1 else {**others, queue: weight})
        case AdmissionHeld(cause=cause, actor=actor, detail=detail):
            return replace(state, holds={**state.holds, cause: Said(actor=actor, reason=detail)})
        case AdmissionReleased(cause=cause):
            return replace(state, holds=_but(state.holds, cause))
        case _:
            assert_never(event)


def _enqueued(state: Admission, event: TaskEnqueued) -> Admission:
    needs = tuple(dict.fromkeys(event.depends_on))
    # A hundred thousand tasks of a queue share its name.
    queue = sys.intern(event.queue)
    entry = Waiting(task_id=event.task_id, priority=event.priority, queue=queue, depends_on=needs)
    needed = state.needed
    for other in needs:
        known = needed.get(other) or Needed()
        waiters = known.waiters.insert(entry.task_id, known.next)
        needed = needed.insert(other, replace(known, waiters=waiters, next=known.next + 1))
    state = replace(state, waiting=state.waiting.insert(entry.task_id, entry), needed=needed)
    for rank in state.ranks(entry):
        state = _counted(state, entry, rank, 1)
    return state


def _granted(state: Admission, event: SlotGranted) -> Admission:
    entry, running = state.waiting.get(event.task_id), (*state.running, event.task_id)
    if entry is None or entry.depends_on or entry.queue in state.paused:
        # Nothing that this release decides.
        return replace(_dequeued(state, event.task_id), running=running)
    turn = event.rank or entry.priority
    places: dict[str, Rank] = {}
    for rank in RANKS:
        order, place = state.rank(rank), entry.place(rank)
        if place is not None and rank == turn:
            order = order.start(place, entry.queue, event.eldest, state.weights.get(entry.queue, 1))
        else:
            order = (order if place is None else order.leave(place, entry.queue)).pass_over()
        places[rank] = order
    return replace(state, running=running, waiting=state.waiting.remove(entry.task_id), **places)


def _dequeued(state: Admission, task_id: str) -> Admission:
    entry = state.waiting.get(task_id)
    if entry is None:
        return state
    for rank in state.ranks(entry):
        state = _counted(state, entry, rank, -1)
    needed = state.needed
    for other in entry.depends_on:
        left = needed[other].waiters.remove(entry.task_id)
        needed = needed.insert(other, replace(needed[other], waiters=left)) if left else needed.remove(other)
    return replace(state, waiting=state.waiting.remove(entry.task_id), needed=needed)


def _met(state: Admission, task_id: str) -> Admission:
    needed, entry = state.needed.get(task_id), state.waiting.get(task_id)
    if needed is None:
        return state
    if entry is not None:
        # It waits for a slot once more, and nobody waits for it now.
        for rank in state.ranks(entry)[:-1]:
            state = _counted(state, entry, rank, -1)
    waiters = state.dependents(task_id)
    state = replace(state, needed=state.needed.remove(task_id))
    for name in waiters:
        waiter = state.waiting[name]
        left = replace(waiter, depends_on=tuple(one for one in waiter.depends_on if one != task_id))
        state = replace(state, waiting=state.waiting.insert(name, left))
        if not left.depends_on:
            for rank in state.ranks(left):
                state = _placed(state, name, rank, 1)
    return state


def _reprioritised(state: Admission, task_id: str, priority: Priority) -> Admission:
    entry = state.waiting.get(task_id)
    if entry is None:
        return state
    moved = replace(entry, priority=priority)
    before = state.ranks(entry)
    state = replace(state, waiting=state.waiting.insert(entry.task_id, moved))
    after = state.ranks(moved)
    for rank in RANKS:
        if (rank in before) != (rank in after):
            state = _counted(state, moved, rank, 1 if rank in after else -1)
    return state


def _counted(state: Admission, entry: Waiting, rank: Priority, by: Literal[1, -1]) -> Admission:
    """Let an entry count in a class, or no longer, and with it whatever it waits for: the nearest first, as they are named."""
    entries = deque([entry])
    while entries:
        entry = entries.popleft()
        if not entry.depends_on:
            state = _placed(state, entry.task_id, rank, by)
        # Nothing is less urgent than low.
        for name in entry.depends_on if rank != "low" else ():
            needed = state.needed[name]
            waiters = getattr(needed, rank) + by
            state = replace(state, needed=state.needed.insert(name, replace(needed, **{rank: waiters})))
            other = state.waiting.get(name)
            # The first of its waiters that counts there lets it count there too, unless it does of itself.
            if waiters == (1 if by == 1 else 0) and other and rank in RANKS[: RANKS.index(other.priority)]:
                entries.append(other)
    return state


def _placed(state: Admission, task_id: str, rank: Priority, by: Literal[1, -1]) -> Admission:
    entry, order = state.waiting[task_id], state.rank(rank)
    place = entry.place(rank)
    if place is not None:
        order, place = order.leave(place, entry.queue), None
    if by == 1:
        order, place = order.join(task_id, entry.queue, entry.queue in state.paused)
    waiting = state.waiting.insert(task_id, replace(entry, **{rank: place}))
    return replace(state, waiting=waiting, **{rank: order})


def _moved(state: Admission, queue: str, move: Move) -> Admission:
    """Pause or resume a queue; its tasks stand elsewhere then."""
    for rank in RANKS:
        order, waiting = state.rank(rank), state.waiting
        lane = order.lanes.get(queue)
        places = {name: place for name in (lane.row if lane else ()) if (place := waiting[name].place(rank))}
        order, moved = move(order, queue, places)
        for name, place in moved.items():
            waiting = waiting.insert(name, replace(waiting[name], **{rank: place}))
        state = replace(state, waiting=waiting, **{rank: order})
    return state


def _but(values: dict[Key, Value], key: Key) -> dict[Key, Value]:
    return {name: value for name, value in values.items() if name != key}
