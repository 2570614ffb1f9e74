"""Tasks that wait for too long: a wait has an owner and a condition, and both may have been forgotten.

An alert is about one wait, from the event that parked the task to the first one that moves it. Nothing is asked at times:
each wait has a timer, which is cleared when the task moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from contracts.message import Recorded, wire_type
from contracts.task import TaskCancelled, TaskParked, TaskRetried, TaskUnparked
from services.alerting.domain.alert import AlertCommand, Raise, Resolve
from services.alerting.domain.rules import LONGEST_SUMMARY, alert_id, told_of

RULE = "task_waits_long"
#: What ends a wait.
Move: TypeAlias = TaskUnparked | TaskRetried | TaskCancelled
#: Wire types of what a wait begins with, and of all that tells of it.
PARKED = wire_type(TaskParked)
MOVES = tuple(wire_type(event) for event in (TaskUnparked, TaskRetried, TaskCancelled))


def told_at(parked: TaskParked, at: datetime, *, others_s: float, itself_s: float) -> datetime:
    """Say when a wait that began at a time has lasted too long.

    One that ends by itself has a time for that, and `itself_s` seconds beyond it nobody can hope for more. Others, people
    most of all, have `others_s` seconds.
    """
    if parked.until is not None:
        return parked.until + timedelta(seconds=itself_s)
    return at + timedelta(seconds=others_s)


def judge_wait(told: Sequence[Recorded], now: datetime, sinks: tuple[str, ...]) -> Iterator[AlertCommand]:
    """Say what becomes of a wait whose time is over, from the event that parked the task and what moved it since."""
    parked, *moves = told
    event = parked.event
    if moves or not isinstance(event, TaskParked):
        return
    yield Raise(
        alert_id=alert_id(RULE, parked.stream, parked.version),
        rule=RULE,
        severity="warning",
        summary=_summary(event, now - parked.recorded_at)[:LONGEST_SUMMARY],
        event_id=parked.id,
        task_id=event.task_id,
        sinks=told_of("warning", sinks),
    )


def end_wait(parked: Recorded, move: Move) -> Resolve:
    """Resolve the alert about a wait, if there was one."""
    return Resolve(alert_id=alert_id(RULE, parked.stream, parked.version), reason=_moved(move))


def _summary(event: TaskParked, since: timedelta) -> str:
    # What ends it comes first: reasons may be long, and are cut.
    ends = f"{event.owner} ends it: {event.wake_up}"
    if event.until is not None:
        ends = f"it should have ended by itself at {event.until:%Y-%m-%d %H:%M:%S} UTC; {ends}"
    return f"task {event.task_id} has been parked for {_spoken(since)} ({event.code}); {ends}; {event.reason}"


def _spoken(since: timedelta) -> str:
    hours = since / timedelta(hours=1)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours:.0f} h" if hours >= 2 else f"{60 * hours:.0f} min"


def _moved(move: Move) -> str:
    match move:
        case TaskUnparked(reason=reason):
            return f"it is queued again: {reason}"
        case TaskRetried(actor=actor):
            return f"{actor} had it tried again"
        case TaskCancelled(actor=actor):
            return f"{actor} cancelled it"
