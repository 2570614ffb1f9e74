"""Decides on tokens: a grant is reserved only where it fits for the task, for the hour and for the provider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from contracts.budget import (
    HOUR,
    AccountClosed,
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
    provider_scope,
    task_scope,
)
from contracts.task import Stage, TokenGrant
from libs.eventsourcing.decider import Decider
from services.scheduler.domain.ledger import COUNTS_MIN, KEPT, Ledger, evolve, gone, scopes_of

#: Percent of a ceiling at which people are warned.
WARNING = 80
#: Windows that are looked ahead at most: who is told a later moment looks again then.
FORESEEN = 24


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
    #: Whether it was stopped, or got no more tokens: then it says nothing of what suffices.
    cut_short: bool = False


class Defer(_Command, frozen=True, kw_only=True):
    """A task waits for a grant that does not fit now."""

    task_id: str
    provider: str
    tokens: int
    scope: str
    until: datetime


class Close(_Command, frozen=True, kw_only=True):
    """A task has ended: it waits for no grant any more, and spends none."""

    task_id: str


class Lapse(_Command, frozen=True, kw_only=True):
    """The time is over for which tokens are kept for a task."""

    task_id: str


class ChangeCeiling(_Command, frozen=True, kw_only=True):
    """Somebody changes a ceiling."""

    scope: str
    tokens: int | None
    actor: str


BudgetCommand: TypeAlias = Reserve | Raise | SettleGrant | Defer | Close | Lapse | ChangeCeiling


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
    claimed = _claimed(ledger, task_id, now)
    for scope in scopes_of(provider):
        ceiling = ledger.ceilings.get(scope)
        if ceiling is None:
            continue
        if tokens > ceiling:
            return Short(scope=scope, until=None)
        missing = ledger.account(scope).used(now) + claimed[scope] + tokens - ceiling
        if missing > 0:
            until = _freed(ledger, scope, missing, ceiling, now)
            if latest is None or until > latest:
                found, latest = Short(scope=scope, until=until), until
    return found


def _claimed(ledger: Ledger, task_id: str, now: datetime) -> Counter[str]:
    """Add up, by account, what those who wait in front of a task will take; all of them if it does not wait."""
    most, still = _most(ledger), now - KEPT
    of = dict.fromkeys(most, 0)
    for name, one in ledger.deferred.items():
        if name == task_id:
            break
        if one.until > still and one.tokens <= most[one.provider]:
            of[one.provider] += one.tokens
    claimed = Counter({provider_scope(provider): tokens for provider, tokens in of.items()})
    claimed[HOUR] = _of_the_hour(claimed, _left(ledger, now))
    return claimed


def _most(ledger: Ledger) -> dict[str, int]:
    """Say what a grant may be at most, by provider: who needs more waits for a person, and nothing is kept for it."""
    return {
        provider: ledger.most(provider) for provider in {one.provider for one in ledger.deferred.values()}
    }


def _left(ledger: Ledger, now: datetime) -> dict[str, int]:
    """Say what is neither spent nor reserved, by account that has a ceiling."""
    return {
        scope: max(ceiling - ledger.account(scope).used(now), 0) for scope, ceiling in ledger.ceilings.items()
    }


def _of_the_hour(claimed: Counter[str], left: Mapping[str, int]) -> int:
    """Say what claims on providers come to in the hour: of each no more than it has left.

    The rest waits for its provider, and what leaves a provider's window leaves that of the hour as well.
    """
    return sum(min(tokens, left.get(scope, tokens)) for scope, tokens in claimed.items() if scope != HOUR)


def _freed(ledger: Ledger, scope: str, missing: int, ceiling: int, now: datetime) -> datetime:
    """Say when so many tokens will have left the window; what is live or waited for may leave it a window later."""
    account = ledger.account(scope)
    for minute, tokens in sorted(account.counting(now).items()):
        missing -= tokens
        if missing <= 0:
            return gone(minute)
    windows = min(1 + (missing - 1) // max(ceiling, 1), FORESEEN)
    return now + windows * timedelta(minutes=COUNTS_MIN)


def decide(command: BudgetCommand, state: Ledger) -> Iterator[BudgetEvent]:
    """Decide on a ledger; what does not fit, or is so already, is silence."""
    match command:
        case Reserve(run_id=run_id, task_id=task_id, grant=grant):
            account = state.task(task_id, grant.before)
            own = account.live + account.spent + grant.tokens
            fits = lacking(state, task_id, grant.provider, grant.tokens, command.now) is None
            if run_id not in state.grants and own <= command.ceiling and fits:
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
                    cut_short=command.cut_short,
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
            yield from _of_account(command, state, scope, 100)
        case Close(task_id=task_id) | Lapse(task_id=task_id):
            one = state.deferred.get(task_id)
            if one is not None and (isinstance(command, Close) or not one.waits(command.now)):
                forgone = GrantForgone(ledger=command.ledger, task_id=task_id)
                yield forgone
                yield from _called(command, evolve(state, forgone))
            if isinstance(command, Close) and task_id in state.tasks and state.tasks[task_id].open:
                yield AccountClosed(ledger=command.ledger, task_id=task_id)
        case ChangeCeiling(scope=scope, tokens=tokens):
            if state.ceilings.get(scope) != tokens and (scope, tokens) != (HOUR, None):
                changed = CeilingChanged(
                    ledger=command.ledger, scope=scope, tokens=tokens, actor=command.actor, at=command.now
                )
                yield changed
                yield from _called(command, evolve(state, changed))


def _called(command: BudgetCommand, state: Ledger) -> Iterator[BudgetEvent]:
    """Call those for whom there are tokens earlier than was expected: all that fit, in their order."""
    left, most = _left(state, command.now), _most(state)
    claimed = Counter[str]()
    for task_id, one in state.deferred.items():
        if claimed[HOUR] >= left[HOUR]:
            return
        if not one.waits(command.now) or one.tokens > most[one.provider]:
            continue
        claimed[provider_scope(one.provider)] += one.tokens
        claimed[HOUR] = _of_the_hour(claimed, left)
        fits = all(claimed[scope] <= left.get(scope, claimed[scope]) for scope in scopes_of(one.provider))
        if fits and one.until > command.now:
            yield GrantCalled(ledger=command.ledger, task_id=task_id, at=command.now)


def _warnings(command: Reserve | Raise, state: Ledger, task_id: str, provider: str) -> Iterator[BudgetEvent]:
    """Warn of every account that has come near its ceiling, once until it is calm again and once a window at most."""
    own = state.task(task_id)
    if not own.warned and (own.live + own.spent) * 100 >= WARNING * command.ceiling:
        yield _warning(command, task_scope(task_id), 80, own.live + own.spent, command.ceiling)
    for scope in scopes_of(provider):
        yield from _of_account(command, state, scope, 80)


def _of_account(
    command: BudgetCommand, state: Ledger, scope: str, percent: Literal[80, 100]
) -> Iterator[BudgetEvent]:
    account, ceiling = state.account(scope), state.ceilings.get(scope)
    if ceiling is None or not account.may_warn(percent, command.now):
        return
    used = account.used(command.now)
    if percent == 100 or used * 100 >= WARNING * ceiling:
        yield _warning(command, scope, percent, used, ceiling)


def _warning(
    command: BudgetCommand, scope: str, percent: Literal[80, 100], used: int, ceiling: int
) -> BudgetWarned:
    return BudgetWarned(
        ledger=command.ledger, scope=scope, percent=percent, used=used, ceiling=ceiling, at=command.now
    )


budget: Decider[BudgetCommand, Ledger] = Decider("budget", Ledger(), decide, evolve)
