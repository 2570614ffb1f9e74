"""Tokens of a task: what it may have, what it holds, what it has spent."""

from __future__ import annotations

from datetime import datetime

from contracts.budget import GrantCalled, GrantForgone, ledger_of, spends
from contracts.message import Event
from contracts.stage import TOKENS_EXHAUSTED, StageCancelled, StageCompleted, StageFailed
from contracts.task import (
    StageRequested,
    TokensGranted,
)
from libs.runtime.work import Work
from services.scheduler.domain.budget import (
    BudgetCommand,
    Close,
    Defer,
    Lapse,
    Raise,
    Reserve,
    SettleGrant,
    budget,
)
from services.scheduler.domain.commands import (
    Unpark,
    Unsettled,
)
from services.scheduler.domain.ledger import KEPT
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
        _keep(work, state.task_id, short.until)


async def close(work: Work, state: Task) -> Unsettled:
    """Close the account of a task that has ended; nobody waits behind it any more."""
    if not spends_tokens(state):
        return []
    return await account(work, Close(ledger=ledger_of(state.spec), now=work.now, task_id=state.task_id))


async def lapse(work: Work, state: Task) -> Unsettled:
    """Keep tokens for a task no longer; another time may have been told to it since."""
    return await account(work, Lapse(ledger=ledger_of(state.spec), now=work.now, task_id=state.task_id))


async def settle_grant(work: Work, news: StageCompleted | StageFailed | StageCancelled) -> Unsettled:
    """Settle the grant of a run that has ended."""
    state = await work.load(task, news.task_id)
    if not spends_tokens(state):
        return []
    wish = SettleGrant(
        ledger=ledger_of(state.spec),
        now=work.now,
        run_id=news.run_id,
        spent=news.tokens_spent,
        cut_short=_is_cut_short(news),
    )
    return await account(work, wish)


def _is_cut_short(news: StageCompleted | StageFailed | StageCancelled) -> bool:
    match news:
        case StageFailed(failure=failure):
            return failure.code == TOKENS_EXHAUSTED
        case _:
            return isinstance(news, StageCancelled)


async def account(work: Work, wish: BudgetCommand) -> Unsettled:
    """Let a ledger decide; return what tasks say that it calls because there are tokens for them."""
    called: Unsettled = []
    for event in await work.decide(budget, wish.ledger, wish):
        match event:
            case GrantCalled(task_id=task_id):
                _keep(work, task_id, work.now)
                if events := await _call(work, task_id, "there are tokens for it"):
                    called.append((task_id, events))
            case GrantForgone(task_id=task_id):
                work.clear_timer(_place(task_id))
            case _:
                pass
    return called


def _keep(work: Work, task_id: str, until: datetime) -> None:
    """Keep tokens for a task until some time after it has been woken."""
    work.set_timer(_place(task_id), until + KEPT, "lapse", task_id)


def _place(task_id: str) -> str:
    return f"tokens:{task_id}"


async def _call(work: Work, task_id: str, reason: str) -> list[Event]:
    return await work.decide(task, task_id, Unpark(reason=reason, codes=("tokens",)))
