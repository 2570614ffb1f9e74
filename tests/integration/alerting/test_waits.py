"""Tasks that wait for too long are told of: once for each wait, with who ends it and how, until they move."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from prometheus_client.core import Metric

from contracts.message import Event
from contracts.task import TaskCancelled, TaskParked, TaskRetried, TaskUnparked
from libs.testing.world import World
from services.alerting import api
from tests.integration.alerting.test_delivery import record, shown, started

DAY_S, HOUR_S = 86_400.0, 3_600.0
CODES = get_args(get_type_hints(TaskParked)["code"])


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await started(tmp_path)


async def tell(world: World, event: Event, **values: Any) -> None:
    """Let a task's event come, and everybody learn of it."""
    await record(world, "scheduler", event, **values)
    await world.settle()


def parked(code: Any = "no_quorum", until: datetime | None = None, owner: str = "operator") -> TaskParked:
    return TaskParked(
        task_id="t1",
        code=code,
        reason="nobody could say",
        owner=owner,
        wake_up="autopilot retry t1",
        until=until,
    )


UNPARKED = TaskUnparked(task_id="t1", reason="retried by ann")
MOVES = (
    UNPARKED,
    TaskRetried(task_id="t1", actor="ann"),
    TaskCancelled(task_id="t1", actor="ann", reason="not wanted"),
)


async def about_waits(world: World) -> list[api.AlertView]:
    return [alert for alert in await shown(world) if alert.rule == "task_waits_long"]


@pytest.mark.parametrize("code", CODES)
async def test_who_waits_for_somebody_for_a_day_is_told_of_with_owner_and_condition(
    world: World, code: str
) -> None:
    await tell(world, parked(code))
    await world.pass_time(DAY_S - 1)
    assert await about_waits(world) == []
    await world.pass_time(1)
    (alert,) = await about_waits(world)
    assert (alert.severity, alert.task_id, alert.resolved_at) == ("warning", "t1", None)
    for said in ("for 24 h", f"({code})", "operator ends it: autopilot retry t1", "nobody could say"):
        assert said in alert.summary
    assert [(sink.sink, sink.delivered) for sink in alert.sinks] == [("log", True)]


async def test_a_wait_is_told_of_once_however_long_it_lasts(world: World) -> None:
    await tell(world, parked())
    for _ in range(10):
        await world.pass_time(DAY_S)
    assert len(await about_waits(world)) == 1


@pytest.mark.parametrize("late_s", [-HOUR_S, 0.0, HOUR_S])
async def test_a_wait_that_should_have_ended_by_itself_is_told_of_within_minutes(
    world: World, late_s: float
) -> None:
    # Whenever it was to end; a wait for something that will be there in a month is no matter yet.
    for_s = 30 * DAY_S + late_s
    until = world.clock.now() + timedelta(seconds=for_s)
    await tell(world, parked("tokens", until, "scheduler"))
    await world.pass_time(for_s + 299)
    assert await about_waits(world) == []
    await world.pass_time(1)
    (alert,) = await about_waits(world)
    assert f"it should have ended by itself at {until:%Y-%m-%d %H:%M:%S} UTC" in alert.summary


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
async def test_the_alert_is_cleared_when_the_task_moves(world: World, move: Event) -> None:
    await tell(world, parked())
    await world.pass_time(DAY_S)
    await tell(world, move)
    (alert,) = await about_waits(world)
    assert alert.resolved_at == world.clock.now()
    assert "ann" in alert.resolved_because
    await world.pass_time(10 * DAY_S)
    assert len(await about_waits(world)) == 1


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
async def test_who_moves_in_time_is_not_told_of(world: World, move: Event) -> None:
    await tell(world, parked())
    await world.pass_time(DAY_S - 1)
    await tell(world, move)
    await world.pass_time(DAY_S)
    assert await about_waits(world) == []
    assert await world.store.next_timer("alerting") is None


async def test_each_wait_of_a_task_is_one_of_its_own(world: World) -> None:
    for _ in range(2):
        await tell(world, parked())
        await world.pass_time(DAY_S)
        await tell(world, UNPARKED)
    alerts = await about_waits(world)
    assert len({alert.alert_id for alert in alerts}) == 2
    assert all(alert.resolved_at for alert in alerts)


async def test_simulated_tasks_wait_unseen(world: World) -> None:
    await tell(world, parked(), synthetic=True)
    assert await world.store.next_timer("alerting") is None


@pytest.mark.parametrize("moved", [False, True])
async def test_alerting_that_was_away_for_days_tells_of_those_who_still_wait(
    world: World, moved: bool
) -> None:
    await world.crash("alerting")
    await tell(world, parked())
    await world.pass_time(2 * DAY_S)
    if moved:
        await tell(world, UNPARKED)
    await world.start("alerting")
    await world.pass_time(1)
    assert len(await about_waits(world)) == (not moved)


async def test_a_timer_that_is_due_before_the_news_was_read_tells_of_nobody_who_has_moved(
    world: World,
) -> None:
    await tell(world, parked())
    world.clock.advance(DAY_S)
    await record(world, "scheduler", UNPARKED)
    # Alerting has not read that far: its timer is due at the very moment.
    await world._timekeeping["alerting"].step()
    await world.settle()
    assert await about_waits(world) == []


async def test_how_long_is_too_long_is_a_setting(tmp_path: Path) -> None:
    world = await started(tmp_path, config_parked_after_s=60.0)
    await tell(world, parked())
    await world.pass_time(60)
    (alert,) = await about_waits(world)
    assert "for 1 min" in alert.summary


async def test_alerts_whose_cause_lasts_are_counted_by_rule(world: World) -> None:
    async def counted() -> dict[str, float]:
        family: Metric
        (family,) = await api.open_alerts(world.running["alerting"])
        return {sample.labels["rule"]: sample.value for sample in family.samples}

    await tell(world, parked("proof_missing"))
    await world.pass_time(DAY_S)
    assert await counted() == {"proof_missing": 1, "task_waits_long": 1}
    await tell(world, UNPARKED)
    assert await counted() == {"proof_missing": 1}
