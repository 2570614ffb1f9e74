"""Two stage-runners over one record: who goes on with a run, where, and who heeds a stop."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from contracts.task import RunRequest
from libs.eventstore.store import LeaseClaim
from libs.messaging.memory import MemoryBus
from libs.runtime.clock import Clock
from libs.runtime.hearing import Hearing
from libs.runtime.running import NotLeaderError, Running
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel
from services.stage_runner.adapters import resumption
from services.stage_runner.adapters.executor import BackgroundExecutor
from services.stage_runner.adapters.workplace import Workplace
from services.stage_runner.domain import Run, run
from tests.system.twin import Answer, TwinExecutor, honest, patch_task
from tests.system.walking import facts_of, submit, switch, tell

FIRST, SECOND = "stage-runner-1", "second"


def endless(request: RunRequest) -> Answer:
    return honest(request) if request.stage in ("spec", "plan", "workspace") else None


class Astray:
    """The clock of a machine that differs from the record's."""

    def __init__(self, clock: Clock, by_s: float) -> None:
        self._clock, self._by = clock, timedelta(seconds=by_s)

    def now(self) -> datetime:
        return self._clock.now() + self._by


async def replica(world: World, holder: str, lease_s: float = 3_600, *, astray_s: float = 0.0) -> Running:
    """Another stage-runner beside the world's own, with the same directory."""
    first = world.running["stage-runner"]
    other = Running(
        first.service,
        config=msgspec.structs.replace(first.config, replica=holder),
        store=world.store,
        bus=MemoryBus(world.server, world.registry, "stage-runner"),
        clock=Astray(world.clock, astray_s),
        ids=world.ids,
        publish=first._publish,
    )
    other.parts = TwinExecutor(other, endless)
    lease = await world.store.acquire(holder, holder, lease_s)
    assert lease is not None
    other.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
    return other


async def claimed(acted: Any) -> tuple[World, str]:
    """A world in which the first stage-runner works on `implement` and never ends it."""
    world: World = await acted(endless)
    await submit(world, "t1", patch_task())
    await world.settle()
    started = facts_of(await world.events(), "t1", "stage_started")[-1]
    assert (started.stage, started.replica) == ("implement", FIRST)
    return world, started.run_id


async def state(running: Running, run_id: str) -> Run:
    found: Run = await running.perform(lambda work: work.load(run, run_id))
    return found


async def test_a_run_goes_on_with_another_replica_when_the_lease_of_its_holder_has_lapsed(acted: Any) -> None:
    world, run_id = await claimed(acted)
    other = await replica(world, SECOND, lease_s=100_000)
    await resumption.look(other)
    assert not other.parts.working_on(run_id)
    world.clock.advance(3_601)
    await resumption.look(other)
    assert other.parts.working_on(run_id)
    assert (await state(other, run_id)).replica == SECOND


@pytest.mark.parametrize("astray_s", [-100_000, 100_000])
async def test_whether_a_lease_has_lapsed_is_told_by_the_record_and_not_by_the_clock_of_whoever_looks(
    acted: Any, astray_s: float
) -> None:
    world, run_id = await claimed(acted)
    other = await replica(world, SECOND, lease_s=100_000, astray_s=astray_s)
    await resumption.look(other)
    assert not other.parts.working_on(run_id)
    world.clock.advance(3_601)
    await resumption.look(other)
    assert other.parts.working_on(run_id)


async def test_a_holder_that_came_back_keeps_its_run_from_one_that_saw_it_gone(
    acted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow taker has the lapsed lease already; meanwhile it lapses again, and the holder returns and resumes."""
    world, run_id = await claimed(acted)
    other = await replica(world, SECOND, lease_s=100_000)
    world.clock.advance(3_601)
    asked = resumption._asked

    async def slow(running: Running, which: Any) -> Any:
        if running is other:
            monkeypatch.setattr(resumption, "_asked", asked)
            world.clock.advance(5)
            await world.start("stage-runner")
            await resumption.look(world.running["stage-runner"])
        return await asked(running, which)

    monkeypatch.setattr(resumption, "_asked", slow)
    await resumption.look(other)
    assert world.running["stage-runner"].parts.working_on(run_id)
    assert not other.parts.working_on(run_id)
    assert (await state(other, run_id)).replica == FIRST


async def test_a_stop_that_another_replica_was_told_reaches_the_one_that_works(acted: Any) -> None:
    world, run_id = await claimed(acted)
    holder = world.running["stage-runner"]
    # The other has taken the message, found nothing of its own, and is done with it.
    other = await replica(world, SECOND)
    stopping = holder.parts._stopping
    await tell(world, "t1", Cancel(actor="operator", reason="asked"))
    assert not other.parts.stop(run_id, "asked")
    assert not stopping
    await resumption.look(holder)
    assert run_id in stopping


async def test_every_replica_hears_of_a_stop_and_the_one_that_works_heeds_it(acted: Any) -> None:
    world, run_id = await claimed(acted)
    holder, other = world.running["stage-runner"], await replica(world, SECOND)
    hearings = [Hearing(holder), Hearing(other)]
    for hearing in hearings:
        await hearing.open()
    await tell(world, "t1", Cancel(actor="operator", reason="asked"))
    for hearing in hearings:
        await hearing.step()
    assert holder.parts._stopping == {run_id: "asked"}
    assert not other.parts._stopping


async def test_a_replica_that_starts_during_an_emergency_stop_begins_nothing(acted: Any) -> None:
    world: World = await acted(honest)
    await switch(world, "emergency-stop")
    for mode, halted in (("emergency-stop", True), ("read-only", False)):
        await switch(world, mode)
        other = await replica(world, SECOND)
        await Hearing(other).open()
        assert other.parts.halted is halted


async def test_each_holder_of_a_run_works_in_a_directory_of_its_own(acted: Any) -> None:
    world, run_id = await claimed(acted)
    (request,) = [
        one for one in facts_of(await world.events(), "t1", "stage_requested") if one.run_id == run_id
    ]
    first, other = world.running["stage-runner"], await replica(world, SECOND)
    places = [Workplace(one).context(request).directory for one in (first, other)]
    again = await world.start("stage-runner")
    places.append(Workplace(again).context(request).directory)
    assert len({*places}) == 3
    assert {place.parent for place in places} == {Path(first.config.data_dir) / "work" / "t1" / run_id}
    other.stand_down()
    with pytest.raises(NotLeaderError):
        Workplace(other).context(request)


async def test_a_second_word_to_stop_does_not_cut_the_clean_up_short(acted: Any) -> None:
    world, run_id = await claimed(acted)
    (request,) = [
        one for one in facts_of(await world.events(), "t1", "stage_requested") if one.run_id == run_id
    ]
    begun, cleaned = asyncio.Event(), asyncio.Event()
    go_on = asyncio.Event()

    class Context:
        def __init__(self) -> None:
            self.request, self.kept, self.exceeded = request, [], []
            self.tokens = SimpleNamespace(waiting=False)

        async def clean_up(self) -> None:
            begun.set()
            await go_on.wait()
            cleaned.set()

    async def carry(_: Any) -> Any:
        await asyncio.Event().wait()

    executor = BackgroundExecutor(world.running["stage-runner"], lambda _: Context(), carry)  # type: ignore[arg-type,return-value]
    executor.start(request)
    await asyncio.sleep(0)
    assert executor.stop(run_id, "asked")
    await begun.wait()
    assert executor.stop(run_id, "asked")
    go_on.set()
    await executor.idle()
    assert cleaned.is_set()
    assert facts_of(await world.events(), "t1", "stage_cancelled")
