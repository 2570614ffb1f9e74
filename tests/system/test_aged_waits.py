"""A task that is parked and forgotten surfaces: with its owner and what ends the wait, and until it moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from contracts.alert import AlertRaised, AlertResolved
from contracts.task import Failure, StageRequested
from libs.testing.world import World
from services.scheduler.domain.commands import Retry
from tests.system.twin import Answer, honest, patch_task, scripted
from tests.system.walking import SERVICES, end, facts_of, restart, sound, submit, tell

Make = Callable[..., Awaitable[World]]


class Fate:
    """`verify` of task t1 answers as it is told to."""

    def __init__(self, failure: Failure) -> None:
        self.failure: Failure | None = failure

    def __call__(self, request: StageRequested) -> Answer:
        ill = request.task_id == "t1" and request.stage == "verify"
        return self.failure if ill and self.failure else honest(request)


async def about(world: World, task_id: str) -> list[Any]:
    """List what was said of long waits of a task."""
    events = [one.event for one in await world.events("alert_raised", "alert_resolved")]
    raised = [one for one in events if isinstance(one, AlertRaised) and one.rule == "task_waits_long"]
    names = {one.alert_id for one in raised if one.task_id == task_id}
    return [one for one in events if one.alert_id in names]


async def test_a_task_that_waits_for_a_person_is_told_of_after_a_day_until_somebody_goes_on_with_it(
    make: Make,
) -> None:
    fate = Fate(Failure(kind="impossible", code="no", detail="it cannot be done"))
    world = await make(scripted(fate, SERVICES))
    await submit(world, "t1", patch_task())
    await submit(world, "t2", patch_task(depends_on=["t1"]))
    await world.settle()
    [parked] = facts_of(await sound(world), "t2", "task_parked")
    await world.pass_time(86_399)
    assert await about(world, "t2") == []
    for _ in range(7):
        await world.pass_time(86_400)
    [alert] = await about(world, "t2")
    assert f"{parked.owner} ends it: {parked.wake_up}" in alert.summary
    # What it waits for has ended and waits for nothing: that is an incident, and was told as one.
    assert await about(world, "t1") == []
    fate.failure = None
    await tell(world, "t1", Retry(actor="ann"))
    await world.settle()
    assert end(await sound(world), "t2") == "task_done"
    assert isinstance((await about(world, "t2"))[-1], AlertResolved)


async def test_a_wait_whose_end_nobody_was_there_for_is_told_of_within_minutes(make: Make) -> None:
    fate = Fate(Failure(kind="transient", code="away", detail="it was away", retry_after_s=3_600))
    world = await make(scripted(fate, SERVICES))
    await submit(world, "t1", patch_task())
    await world.settle()
    [parked] = facts_of(await sound(world), "t1", "task_parked")
    assert parked.until == world.clock.now() + timedelta(hours=1)
    await world.crash("scheduler")
    await world.pass_time(3_600 + 299)
    assert await about(world, "t1") == []
    await world.pass_time(1)
    [alert] = await about(world, "t1")
    assert "it should have ended by itself" in alert.summary
    fate.failure = None
    await restart(world, "scheduler")
    await world.settle()
    assert end(await sound(world), "t1") == "task_done"
    assert isinstance((await about(world, "t1"))[-1], AlertResolved)


async def test_a_wait_that_ends_in_time_is_nobodys_business(make: Make) -> None:
    fate = Fate(Failure(kind="transient", code="away", detail="it was away", retry_after_s=3_600))
    world = await make(scripted(fate, SERVICES))
    await submit(world, "t1", patch_task())
    await world.settle()
    fate.failure = None
    await world.pass_time(3_600)
    await world.pass_time(86_400)
    assert end(await sound(world), "t1") == "task_done"
    assert await about(world, "t1") == []
