"""Refuses what would have to wait behind too many, and says when to come again."""

from __future__ import annotations

import math

from fastapi import Request

from libs.runtime.http import Problem
from services.scheduler.api.outlook import Outlook
from services.scheduler.domain.backlog import BacklogFullError
from services.scheduler.domain.pace import Pace, spoken
from services.scheduler.domain.waits import FREED

#: Seconds after which to come again where nothing can be measured, and the bounds where something can.
UNKNOWN_S, SOONEST_S, LATEST_S = 60, 1, 3_600


def wants_anyway(request: Request) -> bool:
    """Tell whether a submission wants to wait behind however many there are. Raises Problem 422."""
    wanted = request.query_params.get("enqueue", "if_room")
    if wanted not in ("if_room", "always"):
        detail = f"enqueue: {wanted[:60]!r} is neither if_room nor always"
        raise Problem(422, "Invalid request", detail, field="enqueue")
    return wanted == "always"


async def too_many(full: BacklogFullError, outlook: Outlook, *, anyway: bool) -> Problem:
    """Answer a submission for which there is no room."""
    remedy = (
        "raise max_queued (autopilot config set max_queued=…)"
        if anyway
        else "send it with ?enqueue=always to have it wait all the same"
    )
    members = {"waiting": len(full.pool.waiting), "max_queued": full.pool.max_queued, "most": full.most}
    if full.never:
        detail = f"it is {len(full.specs)} tasks and at most {full.most} may wait: split it, or {remedy}"
        return Problem(422, "Larger than the queue", detail, field="tasks", members=members)
    first = full.specs[0]
    pace, place = await outlook.pace(full.pool), outlook.newcomer(full.pool, first.priority, first.queue)
    after = _retry_after(full, pace)
    basis = (
        f"about {spoken(after)}: {pace.told(FREED)}" if pace else f"{after} s: no slot pace could be measured"
    )
    ahead = (
        "" if place is None else f" {'' if place.exact else 'At most '}{place.ahead} would start before it."
    )
    detail = f"{full}.{ahead} Repeat in {basis}; or {remedy}"
    return Problem(
        429,
        "Too many tasks wait",
        detail,
        headers={"Retry-After": str(after)},
        members={**members, "position": place},
    )


def _retry_after(full: BacklogFullError, pace: Pace | None) -> int:
    if pace is None:
        return UNKNOWN_S
    return min(max(math.ceil(pace.wait_s(full.surplus)), SOONEST_S), LATEST_S)
