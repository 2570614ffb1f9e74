"""What people do meanwhile: they submit, cancel, retry and switch, over the API, until each wish is answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulation.asking import QUEUES, draw_task
from tests.simulation.process import Process, request

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Seconds that an answer may take before somebody asks again.
PATIENCE_S = 5.0
_ENDS = ("task_done", "task_given_up", "task_cancelled")
_RETRYABLE = ("task_given_up", "task_cancelled", "task_parked")
_MODES = ("minimal", "read-only", "emergency-stop", "normal")


class Workload:
    """One run's people. `accepted` holds every task that the API said was taken."""

    def __init__(self, world: World, dice: random.Random, seed: int) -> None:
        self._world, self._dice, self._seed = world, dice, seed
        self.accepted: dict[str, dict[str, Any]] = {}
        self._numbers = 0
        #: Whether most tasks are urgent, so that others depend on being let through.
        self._rush = False

    async def run(self, seconds: float) -> None:
        """Let them act at moments of this time, all at once; in the end nothing is left that keeps tasks from starting."""
        wishes = self._wishes()
        moments = sorted(self._dice.uniform(0.0, seconds * 0.8) for _ in wishes)
        moments[0] = 0.0
        async with asyncio.TaskGroup() as group:
            for at, wish in zip(moments, wishes, strict=True):
                group.create_task(self._at(at, wish))
        await self._lift()

    def _wishes(self) -> list[Any]:
        """Draw what they are going to do; now and then there are many tasks for few slots."""
        dice = self._dice
        crowded = dice.random() < 0.25
        self._rush = crowded and dice.random() < 0.6
        wishes: list[Any] = [self._submit] * (dice.randint(7, 16) if crowded else dice.randint(1, 4))
        wishes += [self._batch] * dice.choice((0, 0, 1, 1, 2))
        wishes += [self._cancel] * dice.choice((0, 0, 1, 2, 3))
        wishes += [self._retry] * dice.choice((0, 1, 2, 3))
        wishes += [self._limit] * dice.choice((0, 0, 1, 1, 3))
        wishes += [self._switch] * dice.choice((0, 0, 0, 1, 2))
        wishes += [self._pause] * dice.choice((0, 0, 0, 1, 2))
        wishes += [self._drain] * dice.choice((0, 0, 0, 1))
        wishes += [self._crowd_out] * dice.choice((0, 0, 0, 1))
        wishes += [self._weigh] * dice.choice((0, 0, 1, 2))
        wishes += [self._reprioritise] * dice.choice((0, 0, 1, 2))
        wishes += [self._fill_disk] * (dice.random() < 0.2)
        dice.shuffle(wishes)
        return [self._limit if crowded else self._submit, *wishes]

    async def _at(self, moment: float, wish: Any) -> None:
        await asyncio.sleep(moment)
        await wish()

    async def _submit(self) -> None:
        spec = {**draw_task(self._dice), "depends_on": self._some_known()}
        if self._rush and self._dice.random() < 0.7:
            spec["priority"] = "urgent"
        _, answer = await self.call("POST", "/v1/tasks", spec)
        if "id" in answer:
            self.accepted[answer["id"]] = spec

    async def _batch(self) -> None:
        """Submit tasks that depend on earlier ones of their batch, some on others as well."""
        dice = self._dice
        specs = [{**draw_task(dice), "key": f"k{place}"} for place in range(dice.randint(2, 5))]
        for place, spec in enumerate(specs):
            needs = [f"k{dice.randrange(place)}" for _ in range(dice.choice((0, 1, 1, 2)) if place else 0)]
            spec["depends_on"] = sorted({*needs, *self._some_known()})
        _, answer = await self.call(
            "POST", "/v1/batches", {"tasks": specs, "on_failed_dependency": dice.choice(("park", "cancel"))}
        )
        self.accepted |= {
            member["id"]: spec for member, spec in zip(answer.get("tasks", ()), specs, strict=False)
        }

    def _some_known(self) -> list[str]:
        known, dice = sorted(self.accepted), self._dice
        return dice.sample(known, min(len(known), dice.choice((0, 0, 0, 0, 1, 1, 2))))

    async def _cancel(self) -> None:
        """Cancel a task that goes on, if there is one."""
        if going := self._tasks(lambda last: last not in _ENDS):
            await self.call("POST", f"/v1/tasks/{self._dice.choice(going)}/cancel", {})

    async def _retry(self) -> None:
        """Retry a task that has been given up or cancelled, or waits for somebody, as soon as there is one."""
        for _ in range(10):
            if waiting := self._tasks(lambda last: last in _RETRYABLE):
                await self.call("POST", f"/v1/tasks/{self._dice.choice(waiting)}/retry", {})
                return
            await asyncio.sleep(1.0)

    def _tasks(self, wanted: Callable[[str], bool]) -> list[str]:
        """List the accepted tasks whose last event is of a wanted type."""
        store = self._world.store
        last = {
            task_id: store._recorded[store._streams[f"task-{task_id}"][-1]].type for task_id in self.accepted
        }
        return sorted(task_id for task_id, type_ in last.items() if wanted(type_))

    async def _switch(self) -> None:
        """Go through modes and back to normal operation."""
        dice = self._dice
        for mode in dice.choices(_MODES, k=dice.randint(1, 3)):
            await self._mode(mode)
            await asyncio.sleep(dice.uniform(0.2, 5.0))
        await self._mode("normal")

    async def _mode(self, mode: str) -> None:
        await self.call("PUT", "/v1/mode", {"mode": mode, "reason": "a drill"})

    async def _lift(self) -> None:
        """Let everything start again."""
        for queue in sorted(set(QUEUES)):
            await self.call("POST", f"/v1/queues/{queue}/resume", {})
        await self.call("DELETE", "/v1/drain", {})
        await self._mode("normal")

    async def _pause(self) -> None:
        queue = self._dice.choice(QUEUES)
        await self.call("POST", f"/v1/queues/{queue}/pause", {"reason": "a drill"})
        await asyncio.sleep(self._dice.uniform(0.2, 6.0))
        await self.call("POST", f"/v1/queues/{queue}/resume", {})

    async def _drain(self) -> None:
        await self.call("PUT", "/v1/drain", {"reason": "a drill"})
        await asyncio.sleep(self._dice.uniform(0.2, 4.0))
        await self.call("DELETE", "/v1/drain", {})

    async def _crowd_out(self) -> None:
        """Let few tasks wait for a while; whoever is refused comes again."""
        await self.call("PUT", "/v1/config", {"max_queued": self._dice.choice((5, 7))})
        await asyncio.sleep(self._dice.uniform(0.2, 6.0))
        await self.call("PUT", "/v1/config", {"max_queued": 10_000})

    async def _weigh(self) -> None:
        queue = self._dice.choice(QUEUES)
        await self.call("PUT", f"/v1/queues/{queue}/weight", {"weight": self._dice.randint(1, 4)})

    async def _reprioritise(self) -> None:
        """Move a task to another class, wherever it is on its way."""
        if going := self._tasks(lambda last: last not in _ENDS):
            wanted = {"priority": self._dice.choice(("urgent", "normal", "low"))}
            await self.call("POST", f"/v1/tasks/{self._dice.choice(going)}/reprioritise", wanted)

    async def _limit(self) -> None:
        await self.call("PUT", "/v1/config", {"max_concurrent": self._dice.choice((1, 1, 2, 2, 3, 3, 10))})

    async def _fill_disk(self) -> None:
        self._world.disk_used = 95
        await asyncio.sleep(self._dice.uniform(1.0, 25.0))
        self._world.disk_used = 50

    async def call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Ask one replica after the other until one answers; the same key each time."""
        world, dice = self._world, self._dice
        self._numbers += 1
        key, payload = f"s{self._seed}-{self._numbers}", msgspec.json.encode(body)
        while True:
            desks = [process for holder, process in sorted(world.processes.items()) if _is_open(process)]
            if desks:
                process = dice.choice(desks)
                asked = world.loop.create_task(
                    request(process, method, path, payload, key), context=process.context()
                )
                await asyncio.wait([asked], timeout=PATIENCE_S)
                if not asked.done():
                    asked.cancel()
                elif not asked.cancelled() and asked.exception() is None:
                    status, content = asked.result()
                    world.trace.tell("client", f"{method} {path} {key} is answered {status}")
                    if status in (400, 401, 404, 405, 413, 422):
                        world.complain(f"{method} {path} is answered {status}: {content!r}")
                    # Too many wait: as with no answer, come again.
                    if status < 500 and status != 429:
                        return status, msgspec.json.decode(content)
                elif not asked.cancelled():
                    world.complain(f"{method} {path} raised {asked.exception()!r}")
            await asyncio.sleep(dice.uniform(0.2, 1.0))


def _is_open(process: Process) -> bool:
    return process.open and process.service.name == "scheduler"
