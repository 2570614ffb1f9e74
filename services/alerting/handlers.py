"""News comes in, the rules judge it; what they raise goes to the courier by timers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from contracts.alert import AlertRaised
from contracts.message import Recorded, stream_name
from contracts.task import TaskCancelled, TaskParked, TaskRetried, TaskUnparked
from libs.eventstore.store import Condition
from libs.runtime.work import Work
from services.alerting.domain.alert import LONGEST_PAUSE_S, AlertCommand, alert
from services.alerting.domain.conditions import judge_condition
from services.alerting.domain.rules import Watched, judge
from services.alerting.domain.waiting import MOVES, PARKED, end_wait, judge_wait, told_at
from services.alerting.ports import Courier, Delivery

#: Seconds after which a delivery that was not recorded as done is made again: the process that made it died.
#: Longer than any delivery takes.
REPEAT_S = 15.0


async def raise_alert(event: Watched, work: Work) -> None:
    """Let the rules judge an event; an alert becomes true together with the timers that deliver it."""
    assert work.cause is not None, f"{type(event).__name__} did not come from the record"
    courier: Courier = work.parts
    await _decide(judge(work.cause, courier.sinks), work)
    if not work.cause.meta.synthetic:
        await _follow_wait(event, work.cause, work)


async def _follow_wait(event: Watched, news: Recorded, work: Work) -> None:
    """Have it told when a task has been parked for too long, unless it moves before; and when it moves after all."""
    match event:
        case TaskParked(task_id=task_id):
            config = work.running.config
            due = told_at(
                event,
                news.recorded_at,
                others_s=config.config_parked_after_s,
                itself_s=config.config_overdue_after_s,
            )
            work.set_timer(f"wait:{task_id}", due, "tell_of_wait", f"{task_id} {news.version}")
        case TaskUnparked(task_id=task_id) | TaskRetried(task_id=task_id) | TaskCancelled(task_id=task_id):
            work.clear_timer(f"wait:{task_id}")
            before = await work.running.store.read_stream(news.stream, types=[PARKED], upto=news.version)
            await _decide([end_wait(parked, event) for parked in before[-1:]], work)
        case _:
            pass


async def tell_of_wait(subject: str, work: Work) -> None:
    """Raise an alert about a task that is parked for as long as a timer was set for, if the record says that it still is."""
    courier: Courier = work.parts
    task_id, _, version = subject.partition(" ")
    stream = stream_name("task", task_id)
    told = await work.running.store.read_stream(stream, int(version) - 1, types=[PARKED, *MOVES])
    await _decide(judge_wait(told, work.now, courier.sinks), work)


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
