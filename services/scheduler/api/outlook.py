"""Looks ahead: who starts next, how often a slot has come free lately, how often a task of a batch has ended."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from contracts.admission import SlotGranted, SlotReleased, TaskEnqueued
from contracts.message import Recorded, stream_name, wire_type
from contracts.task import Priority
from libs.eventstore.store import Store
from libs.runtime.clock import is_recent
from libs.runtime.running import Running
from services.scheduler.api.views import TaskView, view
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.pace import MOST, Pace, Turn, pace, spacing
from services.scheduler.domain.pool import FORESIGHT, Admission, Forecast, evolve
from services.scheduler.domain.state import ENDS, Task
from services.scheduler.domain.waits import Wait, estimate, waits

#: Events of the pool that are looked through for its last turns; the second only where the first held too few.
NEAR, FAR = 250, 2_500
#: For how long an answer is good: looking 200 starts ahead takes 2 ms, and whoever waits asks several times a second.
FRESH = timedelta(seconds=1)
_TYPES = (wire_type(SlotGranted), wire_type(SlotReleased))


class Outlook:
    """Who starts next and how soon, computed once for all who ask within a second."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._since = running.clock.now()
        self._known: dict[Hashable, Any] = {}

    async def pace(self, pool: Admission) -> Pace | None:
        """Return the pace at which slots come free; None where the record has no basis for one."""
        known = self._answers()
        if "pace" not in known:
            turns = await last_turns(self._running.store)
            now = self._running.clock.now()
            known["pace"] = pace(turns, running=len(pool.running), limit=pool.limit, now=now)
        found: Pace | None = known["pace"]
        return found

    def order(self, pool: Admission) -> tuple[str, ...]:
        """List who starts next, as far as is looked ahead."""
        known = self._answers()
        if "order" not in known:
            known["order"] = pool.upcoming()
        # Some may have started, or gone, since.
        return tuple(name for name in known["order"] if pool.queued(name))

    def positions(self, pool: Admission, task_ids: Collection[str]) -> dict[str, Forecast | None]:
        """Return how many start before each of some tasks that nothing but slots keeps from it."""
        order = self.order(pool)
        if len(self._known["order"]) < FORESIGHT and not set(task_ids) <= set(order):
            # All who could start were in it, so some have come since.
            self.forget()
            order = self.order(pool)
        places = {name: place for place, name in enumerate(order)}
        return {
            name: Forecast(ahead=places[name], exact=True) if name in places else pool.forecast(name, ())
            for name in task_ids
        }

    async def shown(
        self, states: Sequence[Task], pool: Admission, others: Mapping[str, Task]
    ) -> list[TaskView]:
        """Show tasks with what each waits for; `others` are tasks that these depend on, as far as they are known."""
        known = {state.task_id: waits(state, pool, others) for state in states}
        ready = [task_id for task_id, found in known.items() if found and _kinds(found) <= {"slot", "hold"}]
        positions = self.positions(pool, ready)
        pace = await self.pace(pool) if any(_kinds(found) == {"slot"} for found in known.values()) else None
        seen = []
        for state in states:
            found, position = known[state.task_id], positions.get(state.task_id)
            expected = estimate(found, pool, position, pace) if found else None
            seen.append(view(state, found, position, expected))
        return seen

    def newcomer(self, pool: Admission, priority: Priority, queue: str) -> Forecast | None:
        """Return how many would start before a task that came now; None while its queue is paused."""
        known, key = self._answers(), ("newcomer", priority, queue)
        if key not in known:
            task = TaskEnqueued(task_id="newcomer", priority=priority, queue=queue)
            known[key] = evolve(pool, task).forecast(task.task_id)
        found: Forecast | None = known[key]
        return found

    def forget(self) -> None:
        """Look anew: somebody has just changed the order."""
        self._known.clear()

    def _answers(self) -> dict[Hashable, Any]:
        now = self._running.clock.now()
        if not is_recent(self._since, now, FRESH):
            self._since = now
            self.forget()
        return self._known


def _kinds(found: Sequence[Wait]) -> set[str]:
    return {wait.kind for wait in found}


async def last_turns(store: Store) -> list[Turn]:
    """Read when slots were given and given back lately, oldest first."""
    turns: list[Turn] = []
    for span in (NEAR, FAR):
        events, whole = await _latest(store, span)
        turns = [cast(Turn, (event.type, event.recorded_at)) for event in events]
        if sum(kind == "slot_released" for kind, _ in turns) > MOST or whole:
            break
    return turns


async def ends(running: Running, members: Collection[str]) -> Pace | None:
    """Measure how often one of these tasks has ended lately; None for too few."""
    latest, _ = await _latest(running.store, FAR)
    times = [
        event.recorded_at
        for event in latest
        if isinstance(event.event, SlotReleased)
        and event.event.reason in ENDS
        and event.event.task_id in members
    ]
    return spacing(times[: -MOST - 1 : -1], running.clock.now())


async def _latest(store: Store, span: int) -> tuple[list[Recorded], bool]:
    """Read the turns among the last events of the pool; also whether these are all there are."""
    for head in await store.heads(admission.category, limit=1):
        stream = stream_name(admission.category, POOL)
        return await store.read_stream(
            stream, max(head.version - span, 0), types=_TYPES
        ), head.version <= span
    return [], True
