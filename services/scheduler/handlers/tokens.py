"""Tokens of a task: what it may have, what it holds, what it has spent."""

from __future__ import annotations

from contracts.budget import GrantCalled, ledger_of, spends
from contracts.message import Event
from contracts.stage import StageCancelled, StageCompleted, StageFailed
from contracts.task import (
    StageRequested,
    TokensGranted,
)
from libs.runtime.work import Work
from services.scheduler.domain.budget import (
    BudgetCommand,
    Defer,
    Forgo,
    Raise,
    Reserve,
    SettleGrant,
    budget,
)
from services.scheduler.domain.commands import (
    Unpark,
    Unsettled,
)
from services.scheduler.domain.purse import Purse, Shortage
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task


def spends_tokens(state: Task) -> bool:
    return state.input is not None and spends(state.spec)


async def purse_of(work: Work, state: Task) -> Purse:
    return Purse(ledger=await work.load(budget, ledger_of(state.spec)), now=work.now)


async def reserve(work: Work, state: Task, asked: StageRequested) -> None:
    assert asked.tokens is not None
    wish = Reserve(
        ledger=ledger_of(state.spec),
        now=work.now,
        run_id=asked.run_id,
        task_id=state.task_id,
        stage=asked.stage,
        grant=asked.tokens,
        ceiling=state.spec.budget.tokens,
    )
    if not await work.decide(budget, wish.ledger, wish):
        raise AssertionError(f"the grant of {asked.run_id} was offered and does not fit")


async def raise_grant(work: Work, state: Task, granted: TokensGranted) -> None:
    wish = Raise(
        ledger=ledger_of(state.spec),
        now=work.now,
        run_id=granted.run_id,
        tokens=granted.tokens,
        ceiling=state.spec.budget.tokens,
    )
    if not await work.decide(budget, wish.ledger, wish):
        raise AssertionError(f"what {granted.run_id} was given does not fit")


async def defer(work: Work, state: Task) -> None:
    """Enter a task among those who wait; one that waits for a person is not: nothing is kept for it."""
    short = (await purse_of(work, state)).offer(state, state.stage)
    if isinstance(short, Shortage) and short.until is not None:
        wish = Defer(
            ledger=ledger_of(state.spec),
            now=work.now,
            task_id=state.task_id,
            provider=short.provider,
            tokens=short.tokens,
            scope=short.scope,
            until=short.until,
        )
        await work.decide(budget, wish.ledger, wish)


async def forgo(work: Work, state: Task) -> Unsettled:
    if not spends_tokens(state):
        return []
    return await account(work, Forgo(ledger=ledger_of(state.spec), now=work.now, task_id=state.task_id))


async def settle_grant(work: Work, news: StageCompleted | StageFailed | StageCancelled) -> Unsettled:
    """Settle the grant of a run that has ended."""
    state = await work.load(task, news.task_id)
    if not spends_tokens(state):
        return []
    wish = SettleGrant(
        ledger=ledger_of(state.spec), now=work.now, run_id=news.run_id, spent=news.tokens_spent
    )
    return await account(work, wish)


async def account(work: Work, wish: BudgetCommand) -> Unsettled:
    """Let a ledger decide; return what tasks say that it calls because there are tokens for them."""
    called = [
        (event.task_id, await _call(work, event.task_id, "there are tokens for it"))
        for event in await work.decide(budget, wish.ledger, wish)
        if isinstance(event, GrantCalled)
    ]
    return [(task_id, events) for task_id, events in called if events]


async def _call(work: Work, task_id: str, reason: str) -> list[Event]:
    return await work.decide(task, task_id, Unpark(reason=reason, codes=("tokens",)))
