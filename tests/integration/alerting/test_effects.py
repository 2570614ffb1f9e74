"""Calls to the outside and their ledger: what is asked before, what is known after, whenever the process dies."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.alert import AlertDeliveryFailed
from contracts.task import TaskGivenUp
from libs.resilience.breaker import Breaker
from libs.runtime.running import Running
from libs.runtime.service import Service
from libs.testing.world import World
from services.alerting.adapters.courier import AlertCourier
from services.alerting.adapters.pager import Pager
from services.alerting.adapters.webhook import Webhook
from services.alerting.app import service
from services.alerting.ports import Sink
from tests.integration.alerting.receiver import Receiver
from tests.integration.alerting.test_delivery import LOOP, OTHERS, consume, record, shown, started

KEY = "key-of-the-pager"
#: Seconds; a call that is not answered ends after it.
SOON_S = 1.0


def telling(receiver: Receiver, kind: str) -> Service:
    """Make a service with one sink, which is impatient."""

    async def assemble(running: Running) -> AlertCourier:
        breaker = Breaker(kind, failures=100)
        sink: Sink = (
            Pager(receiver.url, KEY, breaker, timeout_s=SOON_S)
            if kind == "pager"
            else Webhook(receiver.url, breaker, running.clock, timeout_s=SOON_S)
        )
        return AlertCourier(running, {kind: sink})

    return dataclasses.replace(service, assemble=assemble)


def keys(receiver: Receiver, kind: str) -> list[str]:
    """List what each request was to be recognised by."""
    return receiver.ids if kind == "webhook" else [body["dedup_key"] for _, body in receiver.requests]


@pytest.fixture(params=["webhook", "pager"])
def kind(request: pytest.FixtureRequest) -> str:
    """The sink that is told."""
    return str(request.param)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver(202).listening() as listening:
        yield listening


async def failures(world: World) -> list[AlertDeliveryFailed]:
    events = [event.event for event in await world.events("alert_delivery_failed")]
    return [event for event in events if isinstance(event, AlertDeliveryFailed)]


async def test_the_intent_is_recorded_before_anybody_is_called(
    tmp_path: Path, receiver: Receiver, kind: str
) -> None:
    world = await started(tmp_path, telling(receiver, kind))
    await record(world, "scheduler", LOOP)
    await consume(world)
    (alert,) = await shown(world)
    assert [(sink.sink, sink.delivered, sink.attempts) for sink in alert.sinks] == [(kind, False, 0)]
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("behaviour", "unknown"), [("silent", True), ("drip", True), ("reset", True), (500, False), (429, False)]
)
async def test_a_call_without_an_answer_is_no_failure_but_unknown_and_is_made_again_under_its_key(
    tmp_path: Path, receiver: Receiver, kind: str, behaviour: str | int, unknown: bool
) -> None:
    receiver.behaviours = [behaviour, 202]
    world = await started(tmp_path, telling(receiver, kind))
    await record(world, "scheduler", LOOP)
    await world.settle()
    (failed,) = await failures(world)
    assert failed.unknown is unknown
    assert ("it may have been taken" in failed.reason) is unknown
    await world.pass_time(1)
    (alert,) = await shown(world)
    assert [(sink.delivered, sink.attempts) for sink in alert.sinks] == [(True, 2)]
    assert keys(receiver, kind) == [alert.alert_id] * 2
    await world.pass_time(3_600)
    assert len(receiver.requests) == 2


async def test_where_nobody_listens_nothing_can_have_been_taken(tmp_path: Path, kind: str) -> None:
    with socket.socket() as taken:
        # Bound and not listening: a connection to it is refused.
        taken.bind(("127.0.0.1", 0))
        nobody = Receiver()
        nobody.url = f"http://127.0.0.1:{taken.getsockname()[1]}/hook"
        world = await started(tmp_path, telling(nobody, kind))
        await record(world, "scheduler", LOOP)
        await world.settle()
    (failed,) = await failures(world)
    assert (failed.unknown, failed.reason) == (False, "the call failed (ConnectError)")


async def test_a_process_that_dies_before_the_call_leaves_it_to_the_next(
    tmp_path: Path, receiver: Receiver, kind: str
) -> None:
    world = await started(tmp_path, telling(receiver, kind))
    await record(world, "scheduler", LOOP)
    await consume(world)
    await world.crash("alerting")
    await world.start("alerting")
    await world.settle()
    (alert,) = await shown(world)
    assert keys(receiver, kind) == [alert.alert_id]


async def test_a_process_that_dies_after_the_call_has_it_made_again_under_the_same_key(
    tmp_path: Path, receiver: Receiver, kind: str
) -> None:
    receiver.behaviours = ["silent", 202]
    world = await started(tmp_path, telling(receiver, kind))
    await record(world, "scheduler", LOOP)
    await consume(world)
    await world._timekeeping["alerting"].step()
    async with asyncio.timeout(60):
        await receiver.called.wait()
    await world.crash("alerting")
    await world.start("alerting")
    await world.pass_time(15)
    (alert,) = await shown(world)
    assert keys(receiver, kind) == [alert.alert_id] * 2
    assert all(sink.delivered for sink in alert.sinks)


async def test_a_process_that_dies_after_the_outcome_is_recorded_tells_nobody_again(
    tmp_path: Path, receiver: Receiver, kind: str
) -> None:
    world = await started(tmp_path, telling(receiver, kind))
    await record(world, "scheduler", LOOP)
    await world.settle()
    await world.crash("alerting")
    await world.start("alerting")
    await world.pass_time(3_600)
    assert len(receiver.requests) == 1


async def test_a_page_says_what_happened_and_its_key_stays_out_of_the_record(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.behaviours = [400, 202]
    settings = {"config_pager_key": KEY, "config_pager_url": receiver.url}
    world = World((service, *OTHERS), str(tmp_path), settings)
    await world.start_all()
    assert KEY in world.running["alerting"].config.secrets
    await record(world, "scheduler", LOOP)
    await world.settle()
    await world.pass_time(1)
    (alert,) = await shown(world)
    _, body = receiver.requests[-1]
    assert (body["routing_key"], body["event_action"], body["dedup_key"]) == (KEY, "trigger", alert.alert_id)
    payload = body["payload"]
    assert (payload["severity"], payload["component"]) == ("critical", "infinite_loop")
    assert payload["summary"] == alert.summary
    assert {sink.sink: sink.delivered for sink in alert.sinks} == {"log": True, "pager": True}
    assert KEY not in str(await world.events())


async def test_a_warning_wakes_nobody(tmp_path: Path, receiver: Receiver) -> None:
    world = await started(tmp_path, telling(receiver, "pager"))
    given_up = TaskGivenUp(task_id="t1", incident_id="i1", reason="three loops failed")
    await record(world, "scheduler", given_up)
    await world.settle()
    (alert,) = await shown(world)
    assert (alert.severity, alert.sinks, receiver.requests) == ("warning", [], [])
