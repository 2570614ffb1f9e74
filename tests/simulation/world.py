"""One run: the services as processes with supervisors, one record, one bus, faults, people, and then quiet."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.message import Recorded
from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import Append
from libs.messaging.topology import derive
from libs.runtime.service import Service
from libs.testing.ids import CountedIds
from libs.testing.virtualtime import VirtualLoop
from tests.simulation.bus import ShakyServer
from tests.simulation.faults import NONE, Faults
from tests.simulation.forge import ForgeState
from tests.simulation.losing import Losing
from tests.simulation.process import Process
from tests.simulation.services import services
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
#: Seconds without an append after which nothing is under way: longer than any wait of the runtime or of a stage.
QUIET_S = 8.0
#: Seconds after the last fault within which everything has to come to rest.
REST_S = 900.0
#: Appends after which a run counts as one that goes in circles; a long one has 3,000.
MANY_APPENDS = 20_000

#: Kinds of timers that may be set when everything is at rest: nothing goes on with them.
_LONG_AFTERWARDS = frozenset({"compress", "tell_of_wait"})


class _Clock:
    """The wall clock of every process and of the record."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return _BEGINNING + timedelta(seconds=self._loop.time())


class World:
    """Everything there is in a run."""

    def __init__(self, loop: VirtualLoop, seed: int, faults: Faults, data_dir: str, batch: int) -> None:
        self.loop, self.dice, self.data_dir = loop, random.Random(f"world {seed}"), data_dir
        self.trace = Trace(loop.time)
        self._plan, self.faults = faults, NONE
        self.clock, self.ids = _Clock(loop), CountedIds()
        made = services(batch)
        self.registry = made[0].registry
        self.store = MemoryStore(self.registry, self.clock, self._pace)
        topology = derive([service.declaration for service in made])
        self.server = ShakyServer(topology, self.clock, self.dice, lambda: self.faults)
        self.losing = Losing(self, topology, seed)
        self.forge = ForgeState()
        #: How often the pager was told of an alert.
        self.paged: Counter[str] = Counter()
        self.disk_used = 50
        self.record_away = False
        #: What nobody expected: errors that the product logged as such, or did not catch.
        self.complaints: list[str] = []
        self.crashes = 0
        self.last_append = 0.0
        self._well_since = 0.0
        self.appends = 0
        self.replicas = self._replicas(made)
        holders = [holder for holder, _ in self.replicas]
        self.sluggish = frozenset(self.dice.sample(holders, min(faults.sluggish, len(holders))))
        #: Living processes by holder.
        self.processes: dict[str, Process] = {}
        self._context = contextvars.copy_context()
        self._supervisors: list[asyncio.Task[None]] = []
        #: Called after each kill.
        self.on_crash: Callable[[], None] = lambda: None

    def _replicas(self, made: tuple[Service, ...]) -> list[tuple[str, Service]]:
        """Name what runs: sometimes two of a service, of which one leads, or both work."""
        found: list[tuple[str, Service]] = []
        for service in made:
            twice = self.dice.random() < (0.5 if service.name in ("scheduler", "stage-runner") else 0.15)
            found += [(f"{service.name}-{number}", service) for number in range(1, 2 + twice)]
        return found

    # What processes ask.

    async def way(self, process: Process) -> None:
        """Let a call take its time."""
        roll = self.dice.random()
        if self.faults is NONE or roll > 0.6:
            return
        if roll < self.faults.slow:
            wait = self.dice.uniform(0.5, 2.5)
        elif process.sluggish:
            wait = 0.1 * roll
        else:
            wait = 0.002 * roll
        await asyncio.sleep(wait)

    async def work(self) -> None:
        """Let the work of a stage take its time."""
        if self.faults is not NONE and self.dice.random() < 0.3:
            await asyncio.sleep(self.dice.uniform(0.05, 1.5))

    async def _pace(self) -> None:
        """Let a transaction take its time: some are overtaken."""
        roll = self.dice.random()
        if roll > 0.6:
            return
        await asyncio.sleep(0.003 * roll if roll > 2 * self.faults.slow else self.dice.uniform(0.1, 1.0))

    def carry_out(self, act: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Do something on the other side, whatever becomes of whoever asked for it."""
        task: asyncio.Task[T] = self.loop.create_task(_of(act), context=self._context.copy())
        task.add_done_callback(_look_at)
        return task

    def appended(self, process: Process, append: Append, recorded: tuple[Recorded, ...]) -> None:
        """Take note of what became true."""
        self.last_append = self.loop.time()
        self.appends += 1
        told = [f"{one.stream}@{one.version} {one.type}" for one in recorded]
        told += [f"[{mark.consumer} {mark.stream}@{mark.version}]" for mark in (*append.inbox, *append.holds)]
        if append.cursor is not None:
            told.append(
                f"[{append.cursor.consumer} @{append.cursor.after.xid}, {append.cursor.after.position}]"
            )
        self.trace.tell(process.name, f"appends {', '.join(told) or 'timers'}")

    def complain(self, what: str) -> None:
        """Take note of what nobody expected."""
        self.trace.tell("!", what)
        self.complaints.append(what)

    def kill(self, process: Process, why: str) -> None:
        """Take a process away with all that it held in memory."""
        if not process.dead:
            self.crashes += 1
            self.trace.tell(process.name, f"is killed {why}")
            process.kill(self.loop)
            self.on_crash()

    def stop(self, process: Process) -> None:
        """Stop a process in mid-air, for as long as a lease holds or longer, and wake it."""
        if process.paused or process.dead:
            return
        seconds = self.dice.choice((0.3, 1.4, 1.6, 2.0, 4.0, 8.0))
        self.trace.tell(process.name, f"is stopped for {seconds} s")
        process.pause()
        self.loop.call_later(seconds, self._wake, process, context=self._context)

    def _wake(self, process: Process) -> None:
        if not process.dead:
            self.trace.tell(process.name, "is woken")
            process.resume(self.loop)

    # What happens.

    async def live(self, seconds: float, people: Coroutine[Any, Any, None]) -> bool:
        """Start everything, let things go wrong for a while, then let all come to rest; False if it does not."""
        self._supervisors = [
            self.loop.create_task(self._supervise(holder, service)) for holder, service in self.replicas
        ]
        if self._plan.audited:
            self._supervisors.append(self.loop.create_task(self.losing.audit()))
        await asyncio.sleep(2.0)
        self.faults = self._plan
        acting = self.loop.create_task(people)
        troubles = [self.loop.create_task(trouble) for trouble in self._troubles(seconds)]
        await asyncio.sleep(seconds)
        await asyncio.gather(*troubles)
        self.faults = NONE
        self._well_since = self.loop.time()
        self.trace.tell("world", "is well from now on")
        self._until = self.loop.time() + REST_S
        async with asyncio.timeout(REST_S):
            await acting
        return await self._rest()

    async def end(self) -> None:
        """Take everything away."""
        for supervisor in self._supervisors:
            supervisor.cancel()
        for process in list(self.processes.values()):
            process.kill(self.loop)
        await asyncio.gather(*self._supervisors, return_exceptions=True)

    async def _supervise(self, holder: str, service: Service) -> None:
        """Start a replica, and again whenever it has ended."""
        while True:
            process = self.processes[holder] = Process(self, service, holder)
            self.trace.tell(holder, "starts")
            status = await process.live()
            del self.processes[holder]
            self.trace.tell(holder, f"has ended with status {status}")
            if status == 1:
                self.complain(f"{holder} ended by an error")
            await asyncio.sleep(self.dice.uniform(0.05, 1.5))

    def _troubles(self, seconds: float) -> list[Coroutine[Any, Any, None]]:
        plan = self._plan
        kinds = (
            (self._kill, plan.kills),
            (self._pause, plan.pauses),
            (self._bus_outage, plan.bus_outages),
            (self._record_outage, plan.record_outages),
            (self._blackout, plan.blackouts),
            (self.losing.lose, plan.losses if plan.audited else 0),
        )
        return [kind(self.dice.uniform(0.0, 0.9 * seconds)) for kind, count in kinds for _ in range(count)]

    async def _kill(self, at: float) -> None:
        await asyncio.sleep(at)
        if self.processes:
            self.kill(self.processes[self.dice.choice(sorted(self.processes))], "from outside")

    async def _blackout(self, at: float) -> None:
        await asyncio.sleep(at)
        for holder in sorted(self.processes):
            self.kill(self.processes[holder], "with all others")

    async def _pause(self, at: float) -> None:
        await asyncio.sleep(at)
        if self.processes:
            self.stop(self.processes[self.dice.choice(sorted(self.processes))])

    async def _bus_outage(self, at: float) -> None:
        await asyncio.sleep(at)
        self._bus(False)
        await asyncio.sleep(self.dice.uniform(0.5, 8.0))
        self._bus(True)

    def _bus(self, available: bool) -> None:
        self.trace.tell("bus", "is back" if available else "is away")
        self.server.available = available
        self.server.wake()

    async def _record_outage(self, at: float) -> None:
        await asyncio.sleep(at)
        self.record_away = True
        self.trace.tell("record", "is away")
        await asyncio.sleep(self.dice.uniform(0.5, 6.0))
        self.record_away = False
        self.trace.tell("record", "is back")

    async def _rest(self) -> bool:
        while self.loop.time() < self._until and self.appends < MANY_APPENDS:
            await asyncio.sleep(1.0)
            if not self.unsettled():
                return True
        return False

    def unsettled(self) -> list[str]:
        """List what is still under way; empty when everything is at rest."""
        store = self.store
        waiting = [
            f"timer {timer.key}" for timer in store._timers.values() if timer.kind not in _LONG_AFTERWARDS
        ]
        waiting += [f"unpublished {store._recorded[at].stream}" for at in store._outbox]
        for durable in self.server._durables:
            pending, unacknowledged = self.server.lag(durable)
            if pending or unacknowledged:
                waiting.append(f"{durable} has {pending} + {unacknowledged} messages")
        if not store.epoch.sound:
            waiting.append(f"the bus is {store.epoch.state}")
        waiting += [f"{durable} holds {stream} back" for durable, stream in store._held_back]
        # What was lost in the last moment of trouble has to be noticed first.
        if self.loop.time() - max(self.last_append, self._well_since) < QUIET_S:
            waiting.append("appends")
        return waiting


async def _of(act: Callable[[], Awaitable[T]]) -> T:
    return await act()


def _look_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
