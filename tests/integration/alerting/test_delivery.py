"""From an event to a receiver that misbehaves: delivered or tried until it is, always under the same id."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.alert import AlertDelivered, AlertDeliveryFailed, AlertRaised
from contracts.catalogue import registry
from contracts.message import Event
from contracts.task import InfiniteLoopDetected
from contracts.workspace import DiskPressureCleared, DiskPressureRaised
from libs.eventsourcing.decider import Decider
from libs.resilience.breaker import Breaker
from libs.runtime.running import Running
from libs.runtime.service import Service
from libs.testing.clock import ManualClock
from libs.testing.world import World
from services.alerting import api
from services.alerting.adapters.courier import AlertCourier
from services.alerting.adapters.log import LogSink
from services.alerting.adapters.posting import RESET_S
from services.alerting.adapters.webhook import Webhook
from services.alerting.app import service
from services.alerting.ports import DeliveryError, Notice
from tests.integration.alerting.receiver import Receiver

LOOP = InfiniteLoopDetected(task_id="t1", stage="plan", attempts=5)
FULL = DiskPressureRaised(volume="data", used_percent=91.0, free_bytes=1)
FREE = DiskPressureCleared(volume="data", used_percent=70.0, free_bytes=9)


def fact(category: str) -> Decider[Event, None]:
    """Make an aggregate that records whatever it is told, as its owner would after deciding."""
    return Decider(category, None, lambda event, _: [event], lambda state, _: state)


OTHERS = (
    Service(name="scheduler", registry=registry, owns=(fact("task"),)),
    Service(name="cleanup", registry=registry, owns=(fact("disk"),)),
)


async def record(world: World, name: str, event: Event, *, synthetic: bool = False) -> None:
    async def act(work: Any) -> None:
        await work.decide(fact(event.stream), getattr(event, event.key), event)

    await world.running[name].perform(act, synthetic=synthetic)


async def consume(world: World) -> None:
    """Let alerting learn what the scheduler recorded, and do nothing more."""
    await world._followings["alerting"][0].step()


async def started(tmp_path: Path, alerting: Service = service, url: str = "", **settings: Any) -> World:
    world = World((alerting, *OTHERS), str(tmp_path), {"config_webhook_url": url, **settings})
    await world.start_all()
    return world


def by_our_clock(receiver: Receiver, failures: int = 5) -> Service:
    """Make a service whose breaker goes by the clock that the test moves."""

    async def assemble(running: Running) -> AlertCourier:
        breaker = Breaker(
            "webhook",
            failures=failures,
            reset_s=RESET_S,
            monotonic=lambda: running.clock.now().timestamp(),
        )
        hook = Webhook(receiver.url, breaker, running.clock)
        return AlertCourier(running, {"log": LogSink(), "webhook": hook})

    return dataclasses.replace(service, assemble=assemble)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver(204).listening() as listening:
        yield listening


async def shown(world: World) -> list[api.AlertView]:
    heads = await world.store.heads("alert")
    views = [api.view(await world.store.read_stream(head.stream)) for head in heads]
    return [view for view in views if view is not None]


async def test_an_alert_is_posted_at_once_and_logged(tmp_path: Path, receiver: Receiver) -> None:
    world = await started(tmp_path, url=receiver.url)
    with capture_logs() as lines:
        await record(world, "scheduler", LOOP)
        await world.settle()
    ((headers, body),) = receiver.requests
    (alert,) = await shown(world)
    assert headers["webhook-id"] == alert.alert_id == body["data"]["alert_id"]
    assert headers["webhook-timestamp"] == str(int(world.clock.now().timestamp()))
    assert (body["type"], body["data"]["rule"], body["data"]["task_id"]) == (
        "alert.raised",
        "infinite_loop",
        "t1",
    )
    assert [line for line in lines if line["event"] == "alert" and line["log_level"] == "error"]
    assert [(sink.sink, sink.delivered, sink.attempts) for sink in alert.sinks] == [
        ("log", True, 1),
        ("webhook", True, 1),
    ]


async def test_a_receiver_that_misbehaves_is_told_again_until_it_takes_it(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.behaviours = [500, "reset", 429, 302, 200]
    world = await started(tmp_path, by_our_clock(receiver))
    await record(world, "scheduler", LOOP)
    await world.settle()
    for pause in (1, 2, 4, 8):
        await world.pass_time(pause - 0.1)
        before = len(receiver.requests)
        await world.pass_time(0.1)
        assert len(receiver.requests) == before + 1
    (alert,) = await shown(world)
    assert receiver.ids == [alert.alert_id] * 5
    failures = [event.event for event in await world.events("alert_delivery_failed")]
    reasons = [failure.reason for failure in failures if isinstance(failure, AlertDeliveryFailed)]
    assert [reason.split(" (")[0] for reason in reasons] == [
        "the receiver answered with status 500",
        "the call failed",
        "the receiver answered with status 429",
        "the receiver answered with status 302",
    ]
    assert "secret-part" not in str(failures)
    assert [event.event for event in await world.events("alert_delivered")][1:] == [
        AlertDelivered(alert_id=alert.alert_id, sink="webhook", attempts=5)
    ]
    await world.pass_time(3_600)
    assert len(receiver.requests) == 5


@pytest.mark.parametrize("behaviour", ["silent", "drip"])
async def test_a_receiver_that_does_not_answer_in_time_has_not_taken_it(
    receiver: Receiver, behaviour: str
) -> None:
    receiver.behaviours = [behaviour]
    clock = ManualClock()
    notice = Notice(
        alert_id="a",
        rule="r",
        severity="critical",
        summary="s",
        task_id="",
        event_id="e",
        raised_at=clock.now(),
    )
    with pytest.raises(DeliveryError, match="no answer within"):
        await Webhook(receiver.url, Breaker("webhook"), clock, timeout_s=0.05).tell(notice)


async def test_a_receiver_that_is_away_for_a_day_is_not_given_up(tmp_path: Path, receiver: Receiver) -> None:
    receiver.behaviours = ["reset"]
    world = await started(tmp_path, by_our_clock(receiver))
    await record(world, "scheduler", LOOP)
    await world.settle()
    for _ in range(6):
        await world.pass_time(14_400)
    receiver.behaviours = [200]
    for _ in range(3):
        await world.pass_time(60)
    (alert,) = await shown(world)
    assert all(sink.delivered for sink in alert.sinks)
    assert set(receiver.ids) == {alert.alert_id}


async def test_while_the_breaker_is_open_nothing_is_called_and_nothing_is_forgotten(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.behaviours = [500, 500, 200]
    world = await started(tmp_path, by_our_clock(receiver, failures=2))
    await record(world, "scheduler", LOOP)
    await world.settle()
    await world.pass_time(1)
    assert len(receiver.requests) == 2
    await record(world, "cleanup", FULL)
    await world.pass_time(RESET_S - 0.1)
    assert len(receiver.requests) == len(await world.events("alert_delivery_failed")) == 2
    for _ in range(3):  # one trial is let through first, the rest follows when it has succeeded
        await world.pass_time(1)
    assert len(set(receiver.ids)) == 2
    assert all(sink.delivered for alert in await shown(world) for sink in alert.sinks)


async def test_a_crash_between_the_call_and_its_record_repeats_it_under_the_same_id(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.behaviours = ["silent", 200]
    world = await started(tmp_path, url=receiver.url)
    await record(world, "scheduler", LOOP)
    await consume(world)
    await world._timekeeping["alerting"].step()  # hands the delivery over, and does not wait for it
    async with asyncio.timeout(60):
        await receiver.called.wait()
    await world.crash("alerting")
    await world.start("alerting")
    await world.settle()
    assert len(receiver.requests) == 1
    await world.pass_time(15)
    (alert,) = await shown(world)
    assert receiver.ids == [alert.alert_id] * 2
    assert all(sink.delivered for sink in alert.sinks)


async def test_an_alert_outlives_a_crash_before_anything_was_sent(tmp_path: Path, receiver: Receiver) -> None:
    world = await started(tmp_path, url=receiver.url)
    await record(world, "scheduler", LOOP)
    await consume(world)
    await world.crash("alerting")
    assert not receiver.requests
    await world.start("alerting")
    await world.settle()
    assert len(receiver.requests) == 1


async def test_news_that_comes_twice_alerts_once(tmp_path: Path, receiver: Receiver) -> None:
    world = await started(tmp_path, url=receiver.url)
    await record(world, "cleanup", FULL)
    await world.settle()
    (news,) = await world.events("disk_pressure_raised")
    (alerting,) = service.follows

    async def again(work: Any) -> None:
        await alerting.handler(news.event, work)

    await world.running["alerting"].perform(again, cause=news)
    await world.pass_time(60)
    assert len(receiver.requests) == len(await world.events("alert_raised")) == 1


async def test_room_on_the_disk_resolves_the_alert_and_pressure_raises_another(tmp_path: Path) -> None:
    world = await started(tmp_path)
    for event in (FULL, FREE, FULL):
        await record(world, "cleanup", event)
        await world.settle()
    second, first = await shown(world)
    assert first.alert_id != second.alert_id
    assert (first.resolved_because, second.resolved_at) == ("volume data is 70 % full", None)


async def test_simulated_work_alerts_nobody(tmp_path: Path, receiver: Receiver) -> None:
    world = await started(tmp_path, url=receiver.url)
    await record(world, "scheduler", LOOP, synthetic=True)
    await world.settle()
    assert (receiver.requests, await world.events("alert_raised")) == ([], [])


async def test_without_a_webhook_the_log_is_the_only_sink(tmp_path: Path) -> None:
    world = await started(tmp_path)
    await record(world, "scheduler", LOOP)
    await world.settle()
    (raised,) = await world.events("alert_raised")
    assert isinstance(raised.event, AlertRaised)
    assert raised.event.sinks == ("log",)
    assert await world.store.next_timer("alerting") is None


async def test_an_alert_waits_for_a_webhook_that_was_taken_out_of_the_configuration(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.behaviours = [500, 200]
    world = await started(tmp_path, url=receiver.url)
    await record(world, "scheduler", LOOP)
    await world.settle()
    await world.crash("alerting")
    world._settings["config_webhook_url"] = ""
    await world.start("alerting")
    await world.pass_time(600)
    await world.crash("alerting")
    world._settings["config_webhook_url"] = receiver.url
    await world.start("alerting")
    await world.pass_time(60)
    assert len(receiver.requests) == 2
    assert all(sink.delivered for sink in (await shown(world))[0].sinks)


@pytest.mark.parametrize(
    "url", ["not an address", "ftp://example.org/x", "http://[::1", "http://127.0.0.1:1/"]
)
async def test_an_address_that_cannot_be_called_fails_visibly_and_stays_due(tmp_path: Path, url: str) -> None:
    world = await started(tmp_path, url=url)
    await record(world, "scheduler", LOOP)
    await world.settle()
    (alert,) = await shown(world)
    assert [(sink.delivered, bool(sink.reason)) for sink in alert.sinks] == [(True, False), (False, True)]
    assert await world.store.next_timer("alerting") is not None
