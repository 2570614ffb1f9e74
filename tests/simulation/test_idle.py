"""A stack on which nothing happens asks the record for its leases and for little else, and is awake at once when something does.

Counted on virtual time: five minutes are five minutes, whatever the machine does meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from contracts.message import Recorded
from libs.eventstore.store import Cursor
from libs.runtime.leadership import RENEW_S
from libs.runtime.running import Running
from libs.runtime.work import Work
from libs.testing.virtualtime import VirtualLoop
from services.scheduler.domain.commands import Submit
from services.scheduler.handlers.wishes import submit
from tests.simulation.faults import NONE
from tests.simulation.process import Process
from tests.simulation.services import services
from tests.simulation.world import World
from tests.system.walking import spec

T = TypeVar("T")

#: Seconds in which the stack begins or comes to rest, and for which it is watched then.
BEGINNING_S, IDLE_S = 20.0, 300.0
#: Messages taken at once at most.
BATCH = 64
#: By service: what it asks the record besides the beat of its lease while nothing happens, and seconds in between.
BESIDES = {"alerting": {"conditions": 1.0}, "resolution": {"heads": 300.0}}


class Idle:
    """The seven services, one process each, and what they have asked the record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.loop = VirtualLoop()
        self.world = World(self.loop, 1, NONE, str(tmp_path), BATCH)
        self.world.replicas = [(f"{service.name}-1", service) for service in services(BATCH)]
        self.asked: Counter[tuple[str, str]] = Counter()
        ask = Process.ask

        async def counted(
            process: Process, door: str, what: str, act: Callable[[], Awaitable[Any]], **options: Any
        ) -> Any:
            if door == "the record":
                self.asked[process.service.name, what] += 1
            return await ask(process, door, what, act, **options)

        monkeypatch.setattr(Process, "ask", counted)

    def run(self, watch: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Start everything, come to rest, and watch."""

        async def main() -> T:
            world = self.world
            for holder, service in world.replicas:
                world._supervisors.append(self.loop.create_task(world._supervise(holder, service)))
            await asyncio.sleep(BEGINNING_S)
            result = await watch()
            await world.end()
            assert world.complaints == []
            return result

        return self.loop.run(main())

    async def asked_in(self, seconds: float) -> Counter[tuple[str, str]]:
        """Let time pass, and count what is asked meanwhile."""
        before = self.asked.copy()
        await asyncio.sleep(seconds)
        return self.asked - before

    def running(self, service: str) -> Running:
        """The running service of a process."""
        running = self.world.processes[f"{service}-1"].running
        assert running is not None
        return running

    async def submit(self) -> None:
        """Submit a simulated task."""
        now = self.world.clock.now()
        wish = Submit(task_id="t1", spec=spec(), depends_on=(), request_digest="t1", now=now)
        await self.running("scheduler").perform(lambda work: submit(work, [wish]), synthetic=True)

    async def set_timer(self, service: str, seconds: float) -> None:
        """Have a service wait for something."""

        async def act(work: Work) -> None:
            work.set_timer("later", work.now + timedelta(seconds=seconds), "later", "")

        await self.running(service).perform(act)

    async def ended(self) -> Recorded:
        """Wait until the task is done."""
        async with asyncio.timeout(60):
            while True:
                for recorded in await self.world.store.read_all(Cursor(), limit=10_000):
                    if recorded.type == "task_done":
                        return recorded
                await asyncio.sleep(0.05)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Idle:
    return Idle(monkeypatch, tmp_path)


def is_little(asked: Counter[tuple[str, str]], seconds: float) -> None:
    """Check that nobody has asked for more than an idle stack needs."""
    for service in {name for name, _ in asked}:
        periods = {"beat": RENEW_S, **BESIDES.get(service, {})}
        found = {what: count for (name, what), count in asked.items() if name == service}
        most = {what: seconds / periods[what] + 1 if what in periods else 0 for what in found}
        assert {what: count for what, count in found.items() if count > most[what]} == {}, service


def test_an_idle_stack_renews_its_leases_and_asks_the_record_for_nothing_else(idle: Idle) -> None:
    asked = idle.run(lambda: idle.asked_in(IDLE_S))
    is_little(asked, IDLE_S)
    assert {service for service, what in asked if what == "beat"} == {one.name for one in services(BATCH)}


def test_a_stack_that_has_worked_is_idle_again_although_timers_are_set(idle: Idle) -> None:
    async def watch() -> Counter[tuple[str, str]]:
        await idle.submit()
        await idle.ended()
        await idle.set_timer("cleanup", 3_600)
        await asyncio.sleep(BEGINNING_S)
        return await idle.asked_in(IDLE_S)

    is_little(idle.run(watch), IDLE_S)


def test_after_a_long_silence_new_work_is_begun_at_once_and_seen_by_all_who_follow(idle: Idle) -> None:
    async def watch() -> tuple[float, float]:
        await asyncio.sleep(IDLE_S)
        began = idle.loop.time()
        await idle.submit()
        await idle.ended()
        took = idle.loop.time() - began
        end = await idle.world.store.end()
        behind = {one.durable(service.name) for service in services(BATCH) for one in service.follows}
        async with asyncio.timeout(60):
            while behind := {
                name for name in behind if idle.world.store._followers.get(name, Cursor()) < end
            }:
                await asyncio.sleep(0.05)
        return took, idle.loop.time() - began - took

    took, followed = idle.run(watch)
    # Nothing takes any time here but waits; a beat and a pause of a follower are the longest that there may be.
    assert took < 1.0
    assert followed < 1.0
