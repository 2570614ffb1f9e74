"""Waiting for what passes by itself: briefly with the slot, for longer without it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from contracts.resolution import StageRetryAdvised
from contracts.task import TaskParked
from services.scheduler.domain.state import Task

#: Seconds for which a slot is kept at most while its task only waits. To give it back and get another takes a turn in the
#: queue and two appends; for the first back-off, of two seconds, that is not worth while.
KEPT_S = 2.0


def back_off(news: StageRetryAdvised, now: datetime, state: Task) -> Iterator[TaskParked]:
    """Give the slot back for a long wait; for a short one nothing is said, and the slot is kept."""
    if news.after_s <= KEPT_S:
        return
    until = now + timedelta(seconds=news.after_s)
    limited = news.retry_after_s > 0
    yield TaskParked(
        task_id=state.task_id,
        code="rate_limited" if limited else "backing_off",
        reason=f"an outside service asked {news.stage} to wait for {news.retry_after_s:.0f} s"
        if limited
        else f"{news.stage} failed for a passing reason and is tried again",
        owner="scheduler",
        wake_up=f"{until:%Y-%m-%d %H:%M:%S} UTC, or autopilot retry {state.task_id}",
        until=until,
    )
