"""The bus is lost, or a read model cannot be built anew: somebody is told, though the bus carries nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.eventstore.store import BusEpoch, LeaseClaim, StaleLeaseError
from libs.testing.world import World
from services.alerting.adapters.watch import EVERY_S, LATE_S, ConditionWatch
from services.alerting.app import service
from services.alerting.handlers import raise_condition
from tests.integration.alerting.receiver import Receiver
from tests.integration.alerting.test_delivery import shown, started

LOST = BusEpoch(epoch=2, state="rebuilding", reason="its last sequence went back")


def watch(world: World) -> ConditionWatch:
    """Look as alerting's worker does, one turn at a time."""
    return ConditionWatch(world.running["alerting"], raise_condition)


async def begin(world: World) -> None:
    world.store.epoch = BusEpoch(epoch=1)
    world.store.epoch = LOST


async def mend(world: World) -> None:
    world.store.epoch = BusEpoch(epoch=2, state="sound", reason=LOST.reason)


def test_alerting_looks_often_enough_to_be_heard_within_five_seconds() -> None:
    assert [worker.__name__ for worker in service.workers] == ["watch_conditions"]
    assert EVERY_S <= 2


async def test_a_raised_epoch_is_told_while_the_bus_is_away(tmp_path: Path) -> None:
    async with Receiver(204).listening() as receiver:
        world = await started(tmp_path, url=receiver.url)
        looking = watch(world)
        await looking.step()
        world.server.available = False
        await begin(world)
        for _ in range(3):
            await looking.step()
        await world.settle()
        ((headers, body),) = receiver.requests
        (alert,) = await shown(world)
        assert headers["webhook-id"] == alert.alert_id
        assert (alert.rule, alert.severity, alert.resolved_at) == ("bus_epoch", "critical", None)
        assert LOST.reason in body["data"]["summary"]
        assert all(sink.delivered for sink in alert.sinks)
        await mend(world)
        await looking.step()
        (alert,) = await shown(world)
        assert alert.resolved_at is not None
        assert len(receiver.requests) == 1


async def test_after_a_crash_at_any_moment_it_is_told_once(tmp_path: Path) -> None:
    world = await started(tmp_path)
    await begin(world)
    for _ in range(3):
        await watch(world).step()
        await world.crash("alerting")
        await world.start("alerting")
    await mend(world)
    for _ in range(2):
        await watch(world).step()
    assert len(await world.events("alert_raised")) == 1
    assert len(await world.events("alert_resolved")) == 1


async def test_an_epoch_that_came_and_went_while_nobody_looked_is_told_for_a_week(tmp_path: Path) -> None:
    world = await started(tmp_path)
    await begin(world)
    await mend(world)
    world.clock.advance(LATE_S - 1)
    await watch(world).step()
    (alert,) = await shown(world)
    assert alert.resolved_at is not None
    world.store.epoch = BusEpoch(epoch=3, state="rebuilding", reason="again")
    world.store.epoch = BusEpoch(epoch=3, state="sound", reason="again")
    world.clock.advance(LATE_S)
    await watch(world).step()
    assert len(await shown(world)) == 1


async def test_the_first_epoch_alarms_nobody(tmp_path: Path) -> None:
    world = await started(tmp_path)
    world.store.epoch = BusEpoch(epoch=1)
    await watch(world).step()
    assert await shown(world) == []


async def test_a_failed_rebuild_is_told_each_time_it_begins_to_fail(tmp_path: Path) -> None:
    world = await started(tmp_path)
    looking = watch(world)
    lease = await world.store.acquire("dashboard", "dashboard-1", 3_600)
    assert lease is not None
    claim = LeaseClaim(name="dashboard", epoch=lease.epoch)
    for _ in range(2):
        for _ in range(3):
            await world.store.note_rebuild(claim, "dashboard", "task_done cannot be folded")
            await looking.step()
        world.clock.advance(1)
        await world.store.note_rebuild(claim, "dashboard", "")
        await looking.step()
        world.clock.advance(1)
    found = await shown(world)
    assert [(alert.rule, alert.resolved_at is not None) for alert in found] == [("rebuild_failed", True)] * 2
    with pytest.raises(StaleLeaseError):
        await world.store.note_rebuild(LeaseClaim(name="dashboard", epoch=9), "dashboard", "late")
