"""News comes in, the rules judge it; what they raise goes to the courier by timers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from contracts.alert import AlertRaised
from libs.eventstore.store import Condition
from libs.runtime.work import Work
from services.alerting.domain.alert import LONGEST_PAUSE_S, AlertCommand, alert
from services.alerting.domain.conditions import judge_condition
from services.alerting.domain.rules import Watched, judge
from services.alerting.ports import Courier, Delivery

#: Seconds after which a delivery that was not recorded as done is made again: the process that made it died.
#: Longer than any delivery takes.
REPEAT_S = 15.0


async def raise_alert(event: Watched, work: Work) -> None:
    """Let the rules judge an event; an alert becomes true together with the timers that deliver it."""
    assert work.cause is not None, f"{type(event).__name__} did not come from the record"
    courier: Courier = work.parts
    await _decide(judge(work.cause, courier.sinks), work)


async def raise_condition(condition: Condition, work: Work) -> None:
    """Let an alert follow a condition that the record keeps."""
    courier: Courier = work.parts
    await _decide(judge_condition(condition, courier.sinks), work)


async def _decide(commands: Iterable[AlertCommand], work: Work) -> None:
    for command in commands:
        for decided in await work.decide(alert, command.alert_id, command):
            if isinstance(decided, AlertRaised):
                for sink in decided.sinks:
                    first = Delivery(alert_id=decided.alert_id, sink=sink, attempt=1)
                    work.set_timer(first.timer, work.now, "deliver", first.subject)


async def deliver(subject: str, work: Work) -> None:
    """Hand a due delivery to the courier; the timer stays until its outcome is recorded, so a crash repeats
    it."""
    courier: Courier = work.parts
    sink, _, alert_id = subject.partition(" ")
    waiting = (await work.load(alert, alert_id)).waiting
    if sink not in waiting:
        return
    delivery = Delivery(alert_id=alert_id, sink=sink, attempt=waiting[sink] + 1)
    known = sink in courier.sinks
    pause = REPEAT_S if known else LONGEST_PAUSE_S  # of a sink that is configured no more
    work.set_timer(delivery.timer, work.now + timedelta(seconds=pause), "deliver", subject)

    async def hand_over() -> None:
        courier.take(delivery)

    if known:
        work.after_commit(hand_over)
