"""Wishes in, from people and from those who look after the host."""

from __future__ import annotations

from collections.abc import Sequence

from libs.runtime.work import Work
from services.scheduler.domain.admission import (
    POOL,
    Hold,
    Operation,
    Release,
    admission,
)
from services.scheduler.domain.budget import (
    ChangeCeiling,
    budget,
)
from services.scheduler.domain.commands import (
    Halt,
    Submit,
)
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.mode import SYSTEM, ChangeMode, ModeState, admits, mode
from services.scheduler.domain.pool import Admission
from services.scheduler.domain.pressure import Room, judged
from services.scheduler.domain.stall import COUNTED, Look, is_stalled, reason_of, stall
from services.scheduler.domain.walk import task
from services.scheduler.handlers.news import call_back
from services.scheduler.handlers.settling import command, go_on, grant, settle_all
from services.scheduler.handlers.slots import admit_to_pool, enqueue
from services.scheduler.handlers.tokens import account


async def submit(work: Work, wishes: Sequence[Submit]) -> None:
    """Take tasks in, all of them or none; slots are given once all are queued, so that the most urgent of them comes first."""
    for wish in wishes:
        await work.decide(task, wish.task_id, wish)
    for wish in wishes:
        await settle_all(work, await enqueue(work, await work.load(task, wish.task_id)))
    await grant(work)


async def change_mode(work: Work, wish: ChangeMode) -> ModeState:
    """Change the mode: slots are held back or given again, an emergency stop stops what runs, others let it go on."""
    if await work.decide(mode, SYSTEM, wish):
        if admits(wish.mode):
            await admit_to_pool(work, Release(cause="mode", actor=wish.actor))
        else:
            detail = f"mode is {wish.mode}" + (f": {wish.reason}" if wish.reason else "")
            await admit_to_pool(work, Hold(cause="mode", detail=detail, actor=wish.actor))
        if wish.mode == "emergency-stop":
            for task_id in (await work.load(admission, POOL)).running:
                await command(work, task_id, Halt())
        await call_back(SYSTEM, work)
        await grant(work)
    return await work.load(mode, SYSTEM)


async def operate(work: Work, wish: Operation) -> Admission:
    """Do to the pool what somebody wants, and start whoever may start now."""
    await admit_to_pool(work, wish)
    await grant(work)
    return await work.load(admission, POOL)


async def oversee(room: Room | None, lasting_s: float, work: Work) -> bool:
    """Hold slots back while memory is short, and tell of it when nothing has started for long; tells whether nothing starts."""
    pool = await work.load(admission, POOL)
    if wish := judged(room, "host_memory" in pool.holds):
        await admit_to_pool(work, wish)
        await grant(work)
        pool = await work.load(admission, POOL)
    stalled = is_stalled(pool, await work.load(mode, SYSTEM))
    look = Look(
        stalled=stalled,
        lasting_s=lasting_s,
        after_s=work.running.config.config_stalled_after_s,
        ready=len(pool.upcoming(COUNTED)) if stalled else 0,
        running=len(pool.running),
        limit=pool.limit,
        reason=reason_of(pool),
    )
    await work.decide(stall, POOL, look)
    return stalled


async def change_ceiling(work: Work, wish: ChangeCeiling) -> Ledger:
    """Change a ceiling of tokens; whoever waits for them and fits under the new one is called."""
    await go_on(work, await account(work, wish))
    return await work.load(budget, wish.ledger)
