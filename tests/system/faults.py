"""Faults for a world: a service killed at any of its appends, and a bus that repeats, reorders and loses."""

from __future__ import annotations

import contextlib
import random
from typing import Any

from contracts.message import Recorded
from libs.eventstore.store import Append
from libs.messaging.memoryserver import MemoryServer, Taken
from libs.testing.world import World
from tests.system.walking import restart, wait_out


class Killed(BaseException):
    """The process is gone; nothing in it may catch this."""


class KillAt:
    """Kills a service at its nth append, before it becomes true or right after; what is dead appends nothing."""

    def __init__(self, world: World, service: str, nth: int, *, after: bool) -> None:
        self._service, self._nth, self._after = service, nth, after
        self._append = world.store.append
        self.seen = 0
        self.dead = False
        self.fired = False
        world.store.append = self._intercepted  # type: ignore[method-assign]

    async def _intercepted(self, append: Append) -> tuple[Recorded, ...]:
        if append.service != self._service or (self.fired and not self.dead):
            return await self._append(append)
        if self.dead:
            raise Killed
        self.seen += 1
        if self.seen < self._nth:
            return await self._append(append)
        self.dead = self.fired = True
        if self._after:
            await self._append(append)
        raise Killed


async def survive(world: World, kill: KillAt, service: str) -> None:
    """Let everything come due; when the service is killed on the way, start it again and go on."""
    # A run's own asyncio task dies silently: then only the flag tells.
    with contextlib.suppress(Killed):
        await wait_out(world)
    if kill.dead:
        kill.dead = False
        await restart(world, service)
        await wait_out(world)


class Unreliable:
    """A bus that delivers every message `times` times, forgets confirmations, and hands out in any order."""

    def __init__(self, server: MemoryServer, seed: int = 0, times: int = 2) -> None:
        self._server, self._random, self._times = server, random.Random(seed), times
        self._settle, self._take = server.settle, server.take
        self._acknowledged: dict[tuple[str, int], int] = {}
        self._confirmed: set[str] = set()
        server.settle = self._forgetful  # type: ignore[method-assign]
        server.take = self._shuffled  # type: ignore[method-assign]
        server.lose_confirmation = self._lost

    def _forgetful(self, consumer: str, sequence: int) -> None:
        key = (consumer, sequence)
        self._acknowledged[key] = self._acknowledged.get(key, 0) + 1
        if self._acknowledged[key] >= self._times:
            self._settle(consumer, sequence)

    def _shuffled(self, consumer: str, batch: int) -> list[Taken]:
        taken = self._take(consumer, batch)
        self._random.shuffle(taken)
        return taken

    def _lost(self, event: Recorded) -> bool:
        first = event.id not in self._confirmed
        self._confirmed.add(event.id)
        return first and self._random.random() < 0.5


def story(events: list[Recorded]) -> list[Any]:
    """Tell what happened to tasks, without what differs between a disturbed run and an undisturbed one."""
    told: list[Any] = []
    for event in events:
        fact: Any = event.event
        match event.type:
            case "stage_requested" | "stage_completed" | "stage_failed" | "stage_cancelled":
                # How many probes fall into a window depends on when each of them comes.
                if fact.stage != "monitor" or fact.run_id.endswith("-monitor-1"):
                    told.append((fact.task_id, event.type, fact.run_id))
            case "gate_decided":
                told.append((fact.task_id, event.type, fact.review_id, fact.verdict))
            case "loop_opened" | "loop_closed" | "loop_exhausted" | "incident_filed" | "task_parked":
                told.append((fact.task_id, event.type))
            case "task_done" | "task_given_up" | "task_cancelled":
                told.append((fact.task_id, event.type))
            case _:
                pass
    return sorted(told)
