"""News in, from other services and from the clock. Every handler ends in `settle`, which keeps all else in step with the task."""

from __future__ import annotations

from datetime import timedelta

from contracts.gate import GateDecided
from contracts.mode import TasksCalledBack
from contracts.resolution import IncidentFiled, PlanDeltaRecorded, StageRetryAdvised
from contracts.stage import StageCancelled, StageCompleted, StageFailed, TokenGrantExhausted
from libs.runtime.work import Work
from services.scheduler.domain.aside import CallBack, aside
from services.scheduler.domain.commands import (
    Observe,
    RetryStage,
    TopUp,
    Unpark,
)
from services.scheduler.domain.mode import mode
from services.scheduler.domain.walk import task
from services.scheduler.handlers import tokens
from services.scheduler.handlers.files import release
from services.scheduler.handlers.settling import claimed, command, conditions_of, go_on, grant, settle_all
from services.scheduler.handlers.slots import enqueue
from services.scheduler.handlers.tokens import purse_of, settle_grant


async def advance_task(
    news: StageCompleted
    | StageFailed
    | StageCancelled
    | TokenGrantExhausted
    | GateDecided
    | PlanDeltaRecorded
    | IncidentFiled,
    work: Work,
) -> None:
    """Let a task go on after news from another service."""
    if isinstance(news, TokenGrantExhausted):
        purse = await purse_of(work, await work.load(task, news.task_id))
        await command(work, news.task_id, TopUp(news=news, purse=purse))
        return
    called = await settle_grant(work, news) if isinstance(news, _RUN_ENDS) else []
    conditions = await conditions_of(work, news.task_id)
    if isinstance(news, GateDecided) and news.gate == 0 and news.verdict == "approve":
        state = await work.load(task, news.task_id)
        if state.pending.get(news.gate) == news.review_id:
            conditions = await claimed(work, state)
    events = await command(work, news.task_id, Observe(news=news, now=work.now, conditions=conditions))
    if isinstance(news, PlanDeltaRecorded) and events:
        await settle_all(work, await release(work, await work.load(task, news.task_id), "is planned anew"))
        await grant(work)
    await go_on(work, called)


_RUN_ENDS = (StageCompleted, StageFailed, StageCancelled)


async def plan_retry(news: StageRetryAdvised, work: Work) -> None:
    """Wait before a stage that failed for a passing reason is run again: with the slot, or without it for longer."""
    parked = await command(work, news.task_id, Observe(news=news, now=work.now))
    if parked or not (await work.load(task, news.task_id)).awaits(news.number):
        return
    work.set_timer(
        f"retry:{news.task_id}", work.now + timedelta(seconds=news.after_s), "retry_stage", news.task_id
    )


async def retry_stage(task_id: str, work: Work) -> None:
    """Run a stage again: its wait is over."""
    await command(work, task_id, RetryStage(conditions=await conditions_of(work, task_id)))


async def wake(task_id: str, work: Work) -> None:
    """Queue a parked task whose wait is over."""
    await command(work, task_id, Unpark(reason="its time has come"))


async def lapse(task_id: str, work: Work) -> None:
    """Give on the tokens that were kept for a task: it got no slot in time."""
    await go_on(work, await tokens.lapse(work, await work.load(task, task_id)))


async def probe(task_id: str, work: Work) -> None:
    """Queue a task whose next monitor probe is due."""
    state = await work.load(task, task_id)
    if state.phase == "waiting":
        await settle_all(work, await enqueue(work, state))
        await grant(work)


async def admit(_: str, work: Work) -> None:
    """Go on giving slots where the last append was long enough."""
    await grant(work)


async def call_back(scope: str, work: Work) -> None:
    """Queue tasks that need not wait for another mode any more: a lot of them now, and the next at once."""
    present = await work.load(mode, scope)
    for called in await work.decide(aside, scope, CallBack(mode=present.mode)):
        assert isinstance(called, TasksCalledBack)
        wish = Unpark(reason=f"mode is {present.mode}", codes=(called.code,))
        for task_id in called.task_ids:
            await settle_all(work, [(task_id, await work.decide(task, task_id, wish))])
        work.set_timer("call_back", work.now, "call_back", scope)
        await grant(work)
