"""What a decision costs, by how many tasks wait: each task in turn comes, gets a slot and gives it back.

Counted is what the service spends from the wish to the events with their ids and meta; the append comes on top.
"""

from __future__ import annotations

import gc
import time
from statistics import median

from contracts.catalogue import registry
from contracts.task import Priority
from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import StreamHead
from libs.runtime.clock import RandomIds, SystemClock
from libs.runtime.work import Cache, Work
from services.scheduler.app import service
from services.scheduler.domain.admission import (
    POOL,
    AdmissionCommand,
    Enqueue,
    Grant,
    Leave,
    Settle,
    admission,
)
from services.scheduler.domain.pool import Admission

QUEUED = (100, 1_000, 10_000, 100_000)
#: Every tenth is urgent, every third low; so many queues have tasks.
QUEUES = 50
STREAM = f"{admission.category}-{POOL}"
#: Tasks of one turn, and turns of each length of the queue.
TASKS, TURNS = 1_000, 15


def enqueue(number: int) -> Enqueue:
    """Make a task of a mixed load; every twentieth waits for the one before it."""
    priority: Priority = "urgent" if number % 10 == 0 else "low" if number % 3 == 0 else "normal"
    needs = (f"task-{number - 1:012d}",) if number % 20 == 1 else ()
    return Enqueue(
        task_id=f"task-{number:012d}", priority=priority, queue=f"queue-{number % QUEUES}", depends_on=needs
    )


class Pool:
    """A pool with so many waiting, which stays as long as it is; decided on as the service does, up to the append."""

    def __init__(self, queued: int) -> None:
        self.events = 0
        self._cache, self._clock, self._ids = Cache(), SystemClock(), RandomIds()
        self._store = MemoryStore(registry, self._clock)
        self._numbers = iter(range(10**9))
        state = Admission()
        for _ in range(queued):
            state = admission.fold(admission.decide(enqueue(next(self._numbers)), state), state)
        self._keep(state)

    async def turn(self) -> float:
        """Return the microseconds of processor time that an event costs, with its decision."""
        before, began = self.events, time.process_time()
        for _ in range(TASKS):
            await self._tell(enqueue(next(self._numbers)))
            if self.state.running:
                ended = self.state.running[0]
                await self._tell(Leave(task_id=ended, reason="done"))
                await self._tell(Settle(task_id=ended, outcome="met"))
            await self._tell(Grant())
        return 1e6 * (time.process_time() - began) / (self.events - before)

    async def _tell(self, wish: AdmissionCommand) -> None:
        work = Work(
            service=service.name, store=self._store, clock=self._clock, ids=self._ids, cache=self._cache
        )
        self.events += len(await work.decide(admission, POOL, wish))
        self._keep(await work.load(admission, POOL))

    def _keep(self, state: Admission) -> None:
        self.state = state
        self._cache.states.put(STREAM, (StreamHead(stream=STREAM), state))


async def measure() -> dict[int, float]:
    """Return the processor time of an event in µs, by the length of the queue: medians of interleaved turns."""
    pools = {queued: Pool(queued) for queued in QUEUED}
    costs: dict[int, list[float]] = {queued: [] for queued in QUEUED}
    gc.collect()
    gc.freeze()
    for number in range(TURNS + 1):
        for queued, pool in pools.items():
            cost = await pool.turn()
            if number:
                costs[queued].append(cost)
    gc.unfreeze()
    return {queued: median(found) for queued, found in costs.items()}
