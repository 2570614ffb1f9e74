"""Carries alerts to sinks: the call happens outside of any unit of work, its outcome is recorded by one.

The ledger of these effects is the alert's own stream. `AlertRaised` names the sinks and is committed with a timer for each
before anybody is called; the alert's id is the key under which each is told. The outcome follows. Whatever ends without
one is told again under the same key: a pager takes it for the same page, and a webhook cannot be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from contracts.alert import AlertRaised
from contracts.message import stream_name
from libs.eventstore.store import StaleLeaseError, StoreUnavailableError
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.work import Work
from services.alerting.domain.alert import SHORTEST_PAUSE_S, Confirm, Fail, alert, pause_after
from services.alerting.ports import Delivery, DeliveryError, Notice, NotTriedError, Sink

log = structlog.get_logger(__name__)

#: Deliveries to one sink that are under way at once: one sink that hangs holds up no other, and few of its
#: own.
PLACES = 8


class AlertCourier:
    """Carries in background tasks. A timer brings back whatever is not recorded, so none would be missed."""

    def __init__(self, running: Running, sinks: Mapping[str, Sink]) -> None:
        self._running, self._sinks = running, sinks
        self._places = {name: asyncio.Semaphore(PLACES) for name in sinks}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    @property
    def sinks(self) -> tuple[str, ...]:
        """Name the sinks that there are."""
        return tuple(self._sinks)

    def take(self, delivery: Delivery) -> None:
        """Begin a delivery unless it is under way."""
        if delivery.timer not in self._under_way:
            task = asyncio.create_task(self._carry(delivery), name=delivery.timer)
            self._under_way[delivery.timer] = task
            task.add_done_callback(lambda _: self._under_way.pop(delivery.timer))

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def abandon(self) -> None:
        """Stop everything without recording what came of it: whoever leads next tells again."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _carry(self, delivery: Delivery) -> None:
        async with self._places[delivery.sink]:
            try:
                await self._deliver(delivery)
            except (StoreUnavailableError, StaleLeaseError, NotLeaderError) as error:
                # Told or not, it is not recorded: it will be told again under the same id.
                log.warning("delivery_not_recorded", alert_id=delivery.alert_id, error=str(error))

    async def _deliver(self, delivery: Delivery) -> None:
        notice = await _notice(delivery.alert_id, self._running)
        outcome: Confirm | Fail | None
        not_before_s = 0.0
        try:
            await self._sinks[delivery.sink].tell(notice)
            outcome = Confirm(alert_id=delivery.alert_id, sink=delivery.sink)
        except DeliveryError as error:
            log.warning(
                "alert_not_delivered", alert_id=delivery.alert_id, sink=delivery.sink, error=str(error)
            )
            outcome = Fail(
                alert_id=delivery.alert_id,
                sink=delivery.sink,
                attempt=delivery.attempt,
                reason=str(error),
                unknown=error.unknown,
            )
        except NotTriedError as error:
            outcome, not_before_s = None, error.retry_after_s

        async def record(work: Work) -> None:
            if outcome is not None:
                await work.decide(alert, delivery.alert_id, outcome)
            waiting = (await work.load(alert, delivery.alert_id)).waiting
            if delivery.sink in waiting:
                pause = (
                    max(not_before_s, SHORTEST_PAUSE_S)
                    if outcome is None
                    else pause_after(waiting[delivery.sink])
                )
                work.set_timer(
                    delivery.timer, work.now + timedelta(seconds=pause), "deliver", delivery.subject
                )
            else:
                work.clear_timer(delivery.timer)

        await self._running.perform(record)


async def _notice(alert_id: str, running: Running) -> Notice:
    first = (await running.store.read_stream(stream_name("alert", alert_id), upto=1))[0]
    assert isinstance(first.event, AlertRaised), f"stream alert-{alert_id} begins with {first.type}"
    return Notice(
        alert_id=alert_id,
        rule=first.event.rule,
        severity=first.event.severity,
        summary=first.event.summary,
        task_id=first.event.task_id,
        event_id=first.event.event_id,
        raised_at=first.recorded_at,
    )
