"""A ledger of tokens as its own events tell it: who may spend, what was spent within the hour, who waits for it.

What an attempt spent counts from its end on, and until then its whole grant does. Spending is kept by the minute, and a
minute counts whole until it has left the window entirely. So what counts is never less than what any 60 minutes hold.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeVar, assert_never

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
from contracts.task import Activity, Stage

#: Minutes for which a minute's spending counts: the window, and the minute itself.
COUNTS_MIN = 61
#: Tokens an hour before anybody changes the ceiling; architecture section 6.
HOUR_CEILING = 100_000
#: Attempts of one stage whose spending is remembered.
REMEMBERED = 20
#: How long tokens are kept for a task after its wait is over: it still has to get a slot.
KEPT = timedelta(minutes=5)
#: Percent of a ceiling below which a warning may be given anew.
REARMED = 70

Kept = TypeVar("Kept")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt that is under way may spend."""

    task_id: str
    stage: Stage
    provider: str
    tokens: int


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that count against a ceiling of an hour."""

    #: Granted to attempts that are under way.
    live: int = 0
    #: Spent by attempts that have ended, by the minute of their end.
    spent: dict[int, int] = msgspec.field(default_factory=dict)
    #: Percent of the last warning since it was calm.
    warned: int = 0
    #: Minute of the last warning, by percent.
    told: dict[int, int] = msgspec.field(default_factory=dict)

    def may_warn(self, percent: int, now: datetime) -> bool:
        """Tell whether it was calm since the last such warning, and a window has passed; the clock may have been set back."""
        return self.warned < percent and (
            percent not in self.told or abs(minute_of(now) - self.told[percent]) >= COUNTS_MIN
        )

    def used(self, now: datetime) -> int:
        """Return what counts at a moment."""
        return self.live + sum(self.counting(now).values())

    def counting(self, now: datetime) -> dict[int, int]:
        """Return the spending that has not left the window. After a step back of the clock a minute may lie ahead."""
        oldest = minute_of(now) - COUNTS_MIN
        return {minute: tokens for minute, tokens in self.spent.items() if minute > oldest}


class TaskAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that count against a task's own ceiling, for ever."""

    live: int = 0
    spent: int = 0
    #: Minute of the last entry.
    last: int = 0
    warned: int = 0
    #: Whether the task has not ended.
    open: bool = True


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that is waited for."""

    provider: str
    tokens: int
    #: When it is expected to fit.
    until: datetime

    def waits(self, now: datetime) -> bool:
        """Tell whether tokens are kept for it."""
        return now < self.until + KEPT


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts. Small: what has left the window is forgotten, and so are tasks that have ended."""

    name: LedgerName = "main"
    #: By scope; a provider that is not here has none.
    ceilings: dict[str, int] = msgspec.field(default_factory=lambda: {HOUR: HOUR_CEILING})
    accounts: dict[str, Account] = msgspec.field(default_factory=dict)
    tasks: dict[str, TaskAccount] = msgspec.field(default_factory=dict)
    #: By run.
    grants: dict[str, Grant] = msgspec.field(default_factory=dict)
    #: By task, in the order in which they came.
    deferred: dict[str, Deferred] = msgspec.field(default_factory=dict)
    #: What the last attempts spent, by provider and stage.
    history: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Tell whether it is about simulated work."""
        return self.name == "synthetic"

    def account(self, scope: str) -> Account:
        """Return an account; an empty one if nothing counts in it."""
        return self.accounts.get(scope) or Account()

    def most(self, provider: str) -> int:
        """Return what a grant may be at most under the ceilings that there are."""
        return min(self.ceilings[scope] for scope in scopes_of(provider) if scope in self.ceilings)

    def task(self, task_id: str, before: int = 0) -> TaskAccount:
        """Return a task's account; where it is forgotten, with what the task itself knows of."""
        return self.tasks.get(task_id) or TaskAccount(spent=before)


def scopes_of(provider: str) -> tuple[str, str]:
    """Name the accounts of an hour in which a grant is entered."""
    return (HOUR, provider_scope(provider))


def history_of(provider: str, stage: Activity) -> str:
    """Name what is remembered of a stage's spending."""
    return f"{provider}/{stage}"


def minute_of(moment: datetime) -> int:
    """Number the minutes since 1970."""
    return int(moment.timestamp() // 60)


def gone(minute: int) -> datetime:
    """Say when a minute's spending has left the window."""
    return datetime.fromtimestamp((minute + COUNTS_MIN) * 60, UTC)


def evolve(state: Ledger, event: BudgetEvent) -> Ledger:
    """Fold one event into the ledger."""
    replace = msgspec.structs.replace
    state = replace(state, name=event.ledger)
    match event:
        case GrantReserved(run_id=run_id, task_id=task_id):
            given = Grant(task_id=task_id, stage=event.stage, provider=event.provider, tokens=event.tokens)
            state = replace(
                state, grants={**state.grants, run_id: given}, deferred=_without(state.deferred, task_id)
            )
            return _entered(state, given, event.at, live=event.tokens, before=event.before)
        case GrantRaised() | GrantSettled() if event.run_id not in state.grants:
            return state
        case GrantRaised(run_id=run_id):
            given = state.grants[run_id]
            raised = replace(given, tokens=given.tokens + event.tokens)
            state = replace(state, grants={**state.grants, run_id: raised})
            return _entered(state, raised, event.at, live=event.tokens)
        case GrantSettled(run_id=run_id):
            given = state.grants[run_id]
            state = replace(state, grants=_without(state.grants, run_id), history=_remembered(state, event))
            return _entered(state, given, event.at, live=-given.tokens, spent=event.spent)
        case GrantDeferred(task_id=task_id, at=at):
            waiting = {name: one for name, one in state.deferred.items() if one.waits(at)}
            # Who waits anew keeps its place.
            waiting[task_id] = Deferred(provider=event.provider, tokens=event.tokens, until=event.until)
            return replace(state, deferred=waiting)
        case GrantCalled(task_id=task_id, at=at) if task_id in state.deferred:
            called = replace(state.deferred[task_id], until=at)
            return replace(state, deferred={**state.deferred, task_id: called})
        case GrantCalled():
            return state
        case GrantForgone(task_id=task_id):
            return replace(state, deferred=_without(state.deferred, task_id))
        case AccountClosed(task_id=task_id):
            closed = replace(state.task(task_id), open=False)
            return replace(state, tasks={**state.tasks, task_id: closed})
        case CeilingChanged(scope=scope, tokens=tokens):
            others = _without(state.ceilings, scope)
            state = replace(state, ceilings=others if tokens is None else {**others, scope: tokens})
            if scope not in state.accounts:
                return state
            # It was warned of the old one.
            anew = replace(state.accounts[scope], warned=0, told={})
            return replace(state, accounts={**state.accounts, scope: anew})
        case BudgetWarned():
            return _warned(state, event)
        case _:
            assert_never(event)


def _entered(
    state: Ledger, given: Grant, at: datetime, *, live: int, spent: int = 0, before: int = 0
) -> Ledger:
    """Enter a grant's change in the account of its task, of its provider and of the hour."""
    minute, accounts = minute_of(at), dict(state.accounts)
    for scope in scopes_of(given.provider):
        accounts[scope] = _counted(state.account(scope), at, live, spent, state.ceilings.get(scope))
    tasks = {
        task_id: one
        for task_id, one in state.tasks.items()
        if one.live or one.open or one.last > minute - COUNTS_MIN
    }
    known = state.task(given.task_id, before)
    tasks[given.task_id] = TaskAccount(
        live=known.live + live, spent=known.spent + spent, last=minute, warned=known.warned
    )
    return msgspec.structs.replace(state, accounts=accounts, tasks=tasks)


def _counted(before: Account, at: datetime, live: int, spent: int, ceiling: int | None) -> Account:
    counting, minute = before.counting(at), minute_of(at)
    if spent:
        counting[minute] = counting.get(minute, 0) + spent
    after = msgspec.structs.replace(before, live=before.live + live, spent=counting)
    least = min(before.used(at), after.used(at))
    calm = ceiling is None or least * 100 < REARMED * ceiling
    return msgspec.structs.replace(after, warned=0) if calm else after


def _remembered(state: Ledger, event: GrantSettled) -> dict[str, tuple[int, ...]]:
    if event.cut_short or not event.spent:
        return state.history
    name = history_of(event.provider, event.stage)
    seen = (*state.history.get(name, ()), event.spent)
    return {**state.history, name: seen[-REMEMBERED:]}


def _warned(state: Ledger, event: BudgetWarned) -> Ledger:
    replace, name = msgspec.structs.replace, event.scope.partition(":")[2]
    if event.scope == task_scope(name):
        known = replace(state.task(name), warned=event.percent)
        return replace(state, tasks={**state.tasks, name: known})
    account = state.account(event.scope)
    told = {**account.told, event.percent: minute_of(event.at)}
    warned = replace(account, warned=event.percent, told=told)
    return replace(state, accounts={**state.accounts, event.scope: warned})


def _without(entries: dict[str, Kept], key: str) -> dict[str, Kept]:
    if key not in entries:
        return entries
    return {name: entry for name, entry in entries.items() if name != key}
