"""Decides on tokens: a grant is reserved only where it fits for the task, for the hour and for the provider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from contracts.budget import (
    HOUR,
    BudgetEvent,
    BudgetWarned,
    CeilingChanged,
    GrantCalled,
    GrantDeferred,
    GrantForgone,
    GrantRaised,
    GrantReserved,
    GrantSettled,
    LedgerName,
    task_scope,
)
from contracts.task import Stage, TokenGrant
from libs.eventsourcing.decider import Decider
from services.scheduler.domain.ledger import COUNTS_MIN, KEPT, Ledger, evolve, gone, scopes_of

#: Percent of a ceiling at which people are warned.
WARNING = 80


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    ledger: LedgerName
    now: datetime


class Reserve(_Command, frozen=True, kw_only=True):
    """An attempt is about to begin."""

    run_id: str
    task_id: str
    stage: Stage
    grant: TokenGrant
    #: The task's own.
    ceiling: int


class Raise(_Command, frozen=True, kw_only=True):
    """An attempt that is under way needs more."""

    run_id: str
    tokens: int
    ceiling: int


class SettleGrant(_Command, frozen=True, kw_only=True):
    """An attempt has ended."""

    run_id: str
    spent: int


class Defer(_Command, frozen=True, kw_only=True):
    """A task waits for a grant that does not fit now."""

    task_id: str
    provider: str
    tokens: int
    scope: str
    until: datetime


class Forgo(_Command, frozen=True, kw_only=True):
    """A task waits for no grant any more."""

    task_id: str


class ChangeCeiling(_Command, frozen=True, kw_only=True):
    """Somebody changes a ceiling."""

    scope: str
    tokens: int | None
    actor: str


BudgetCommand: TypeAlias = Reserve | Raise | SettleGrant | Defer | Forgo | ChangeCeiling


class Short(msgspec.Struct, frozen=True, kw_only=True):
    """Why a grant does not fit."""

    #: The account that is short of tokens.
    scope: str
    #: None where time does not help: somebody has to raise the ceiling.
    until: datetime | None


def lacking(ledger: Ledger, task_id: str, provider: str, tokens: int, now: datetime) -> Short | None:
    """Say which ceiling of an hour so many tokens would break; None where they fit.

    Those who wait get theirs first, in their order: nobody takes what another has waited for.
    """
    found: Short | None = None
    latest: datetime | None = None
    for scope, claimed in zip(scopes_of(provider), _claimed(ledger, task_id, provider, now), strict=True):
        ceiling = ledger.ceilings.get(scope)
        if ceiling is None:
            continue
        if tokens > ceiling:
            return Short(scope=scope, until=None)
        missing = ledger.account(scope).used(now) + claimed + tokens - ceiling
        if missing > 0:
            until = _freed(ledger, scope, missing, ceiling, now)
            if latest is None or until > latest:
                found, latest = Short(scope=scope, until=until), until
    return found


def _claimed(ledger: Ledger, task_id: str, provider: str, now: datetime) -> tuple[int, int]:
    """Add up what those who wait in front of a task will take, of the hour and of a provider; all if it does not wait."""
    of_all, of_provider, still = 0, 0, now - KEPT
    for name, one in ledger.deferred.items():
        if name == task_id:
            break
        if one.until > still:
            of_all += one.tokens
            if one.provider == provider:
                of_provider += one.tokens
    return of_all, of_provider


def _freed(ledger: Ledger, scope: str, missing: int, ceiling: int, now: datetime) -> datetime:
    """Say when so many tokens will have left the window; what is live or waited for may leave it a window later."""
    account = ledger.account(scope)
    for minute, tokens in sorted(account.counting(now).items()):
        missing -= tokens
        if missing <= 0:
            return gone(minute)
    windows = 1 + (missing - 1) // max(ceiling, 1)
    return now + windows * timedelta(minutes=COUNTS_MIN)


def decide(command: BudgetCommand, state: Ledger) -> Iterator[BudgetEvent]:
    """Decide on a ledger; what does not fit, or is so already, is silence."""
    match command:
        case Reserve(run_id=run_id, task_id=task_id, grant=grant):
            account = state.task(task_id, grant.before)
            own = account.live + account.spent + grant.tokens
            short = lacking(state, task_id, grant.provider, grant.tokens, command.now)
            if run_id not in state.grants and own <= command.ceiling and short is None:
                reserved = GrantReserved(
                    ledger=command.ledger,
                    run_id=run_id,
                    task_id=task_id,
                    stage=command.stage,
                    provider=grant.provider,
                    tokens=grant.tokens,
                    before=grant.before,
                    at=command.now,
                )
                yield reserved
                yield from _warnings(command, evolve(state, reserved), task_id, grant.provider)
        case Raise(run_id=run_id, tokens=tokens):
            live = state.grants.get(run_id)
            if live is None or lacking(state, live.task_id, live.provider, tokens, command.now):
                return
            account = state.task(live.task_id)
            if account.live + account.spent + tokens <= command.ceiling:
                raised = GrantRaised(
                    ledger=command.ledger,
                    run_id=run_id,
                    task_id=live.task_id,
                    provider=live.provider,
                    tokens=tokens,
                    at=command.now,
                )
                yield raised
                yield from _warnings(command, evolve(state, raised), live.task_id, live.provider)
        case SettleGrant(run_id=run_id, spent=spent):
            if (ended := state.grants.get(run_id)) is not None:
                settled = GrantSettled(
                    ledger=command.ledger,
                    run_id=run_id,
                    task_id=ended.task_id,
                    stage=ended.stage,
                    provider=ended.provider,
                    reserved=ended.tokens,
                    spent=spent,
                    at=command.now,
                )
                yield settled
                yield from _called(command, evolve(state, settled))
        case Defer(task_id=task_id, scope=scope):
            yield GrantDeferred(
                ledger=command.ledger,
                task_id=task_id,
                provider=command.provider,
                tokens=command.tokens,
                scope=scope,
                until=command.until,
                at=command.now,
            )
            if state.account(scope).warned < 100 and scope in state.ceilings:
                used = state.account(scope).used(command.now)
                yield _warning(command, scope, 100, used, state.ceilings[scope])
        case Forgo(task_id=task_id):
            if task_id in state.deferred:
                forgone = GrantForgone(ledger=command.ledger, task_id=task_id)
                yield forgone
                yield from _called(command, evolve(state, forgone))
        case ChangeCeiling(scope=scope, tokens=tokens):
            if state.ceilings.get(scope) != tokens and (scope, tokens) != (HOUR, None):
                changed = CeilingChanged(
                    ledger=command.ledger, scope=scope, tokens=tokens, actor=command.actor, at=command.now
                )
                yield changed
                yield from _called(command, evolve(state, changed))


def _called(command: BudgetCommand, state: Ledger) -> Iterator[BudgetEvent]:
    """Call those for whom there are tokens earlier than was expected: all that fit, in their order."""
    free = {
        scope: ceiling - state.account(scope).used(command.now) for scope, ceiling in state.ceilings.items()
    }
    claimed: Counter[str] = Counter()
    for task_id, one in state.deferred.items():
        if free[HOUR] <= claimed[HOUR]:
            return
        if not one.waits(command.now):
            continue
        scopes = [scope for scope in scopes_of(one.provider) if scope in free]
        claimed.update(dict.fromkeys(scopes, one.tokens))
        if one.until > command.now and all(claimed[scope] <= free[scope] for scope in scopes):
            yield GrantCalled(ledger=command.ledger, task_id=task_id, at=command.now)


def _warnings(command: Reserve | Raise, state: Ledger, task_id: str, provider: str) -> Iterator[BudgetEvent]:
    """Warn of every account that has come near its ceiling, once until it is calm again."""
    own = state.task(task_id)
    if not own.warned and (own.live + own.spent) * 100 >= WARNING * command.ceiling:
        yield _warning(command, task_scope(task_id), 80, own.live + own.spent, command.ceiling)
    for scope in scopes_of(provider):
        account, ceiling = state.account(scope), state.ceilings.get(scope)
        if ceiling is not None and not account.warned:
            used = account.used(command.now)
            if used * 100 >= WARNING * ceiling:
                yield _warning(command, scope, 80, used, ceiling)


def _warning(
    command: BudgetCommand, scope: str, percent: Literal[80, 100], used: int, ceiling: int
) -> BudgetWarned:
    return BudgetWarned(
        ledger=command.ledger, scope=scope, percent=percent, used=used, ceiling=ceiling, at=command.now
    )


budget: Decider[BudgetCommand, Ledger] = Decider("budget", Ledger(), decide, evolve)
