"""What waits for something that passes by itself holds no slot meanwhile, and goes on with the attempt it was at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from contracts.task import Failure, StageRequested
from libs.testing.world import World
from services.resolution.domain import MAX_RETRIES
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.commands import Cancel, Retry
from services.scheduler.domain.waiting import KEPT_S
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import end, facts_of, limit, sound, state_of, submit, tell

Acted = Callable[[Script], Awaitable[World]]


class Moody:
    """`verify` of task t1 fails so many times for a passing reason; all else goes well."""

    def __init__(self, failures: int, retry_after_s: float = 0.0) -> None:
        self.left, self.retry_after_s = failures, retry_after_s

    def __call__(self, request: StageRequested) -> Answer:
        if request.stage != "verify" or request.task_id != "t1" or not self.left:
            return honest(request)
        self.left -= 1
        return Failure(kind="transient", code="away", detail="it was away", retry_after_s=self.retry_after_s)


async def running(world: World) -> tuple[str, ...]:
    """Who holds a slot."""
    pool = await world.perform("scheduler", lambda work: work.load(admission, POOL))
    return tuple(pool.running)


async def test_a_short_wait_keeps_its_slot(acted: Acted) -> None:
    world = await acted(Moody(1))
    await submit(world, "t1", patch_task())
    await world.settle()
    assert await running(world) == ("t1",)
    await world.pass_time(KEPT_S)
    events = await sound(world)
    assert end(events) == "task_done"
    assert facts_of(events, "t1", "task_parked") == []


async def test_who_waits_for_longer_gives_the_slot_to_another(acted: Acted) -> None:
    world = await acted(Moody(1, retry_after_s=3_600.4))
    await limit(world, 1)
    await submit(world, "t1", patch_task())
    await submit(world, "t2", patch_task())
    await world.settle()
    (parked,) = facts_of(await sound(world), "t1", "task_parked")
    assert (parked.code, parked.owner) == ("rate_limited", "scheduler")
    assert parked.reason == "an outside service asked verify to wait for 3600 s"
    assert parked.until == world.clock.now() + timedelta(seconds=3_600.4)
    assert "autopilot retry t1" in parked.wake_up
    assert end(await world.events(), "t2") == "task_done"
    await world.pass_time(3_600)
    assert end(await world.events()) == "task_parked"
    await world.pass_time(1)
    events = await sound(world)
    assert end(events) == "task_done"
    tried = [one for one in facts_of(events, "t1", "stage_requested") if one.stage == "verify"]
    assert [(one.attempt, one.retry, one.failures) for one in tried] == [(1, 0, 0), (1, 1, 1)]


async def test_waits_are_counted_whether_or_not_they_keep_the_slot(acted: Acted) -> None:
    world = await acted(Moody(1_000))
    await submit(world, "t1", patch_task())
    for _ in range(100):
        await world.pass_time(10)
    events = await sound(world)
    # Each attempt of a plan is given up after as many tries, and none of them counts as an attempt of its own.
    tried = [one for one in facts_of(events, "t1", "stage_requested") if one.stage == "verify"]
    first = [(one.retry, one.failures) for one in tried if one.attempt == 1]
    assert first == [(number, number) for number in range(MAX_RETRIES + 1)]
    assert {one.code for one in facts_of(events, "t1", "task_parked")} == {"backing_off"}
    assert end(events) == "task_given_up"


async def test_a_person_need_not_wait(acted: Acted) -> None:
    world = await acted(Moody(1, retry_after_s=3_600))
    await submit(world, "t1", patch_task())
    await world.settle()
    assert (await state_of(world, "t1")).phase == "parked"
    await tell(world, "t1", Retry(actor="ann"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    tried = [one for one in facts_of(events, "t1", "stage_requested") if one.stage == "verify"]
    assert [(one.attempt, one.retry) for one in tried] == [(1, 0), (1, 1)]
    # Its clock has nothing to wake any more.
    before = len(events)
    await world.pass_time(4_000)
    assert len(await world.events()) == before


@pytest.mark.parametrize("after_s", [0.0, 3_600.0])
async def test_a_wait_ends_with_its_task(acted: Acted, after_s: float) -> None:
    world = await acted(Moody(1, retry_after_s=after_s))
    await submit(world, "t1", patch_task())
    await world.settle()
    await tell(world, "t1", Cancel(actor="ann", reason=""))
    await world.pass_time(4_000)
    events = await sound(world)
    assert end(events) == "task_cancelled"
    assert await running(world) == ()
