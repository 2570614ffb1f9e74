"""Stream `budget`: tokens reserved, spent and waited for, written by the scheduler's leader.

There are two ledgers under the same rules: what simulated tasks spend is in one of its own and never in the real one.
An account is called by its scope: `task:<id>`, `hour`, `provider:<name>`; every grant is entered in all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

import msgspec

from contracts.message import Event
from contracts.task import Activity, Stage, TaskSpec

LedgerName: TypeAlias = Literal["main", "synthetic"]
#: The account of all providers together over a sliding hour.
HOUR = "hour"
#: What engine `noop` pretends to pay.
SIMULATED = "simulated"
_SPEND = re.compile(
    r"^spend (?P<stage>[a-z]+) (?P<tokens>\d{1,9})(?: (?P<calls>\d{1,4}))?(?: (?P<used>\d{1,9}))?$"
)


def provider_scope(provider: str) -> str:
    """Name a provider's account."""
    return f"provider:{provider}"


def task_scope(task_id: str) -> str:
    """Name a task's account."""
    return f"task:{task_id}"


def ledger_of(spec: TaskSpec) -> LedgerName:
    """Say in which ledger a task is entered."""
    return "synthetic" if spec.synthetic else "main"


class SimulatedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that engine `noop` pretends to make."""

    #: Tokens that it may take at most, and that it takes.
    tokens: int
    used: int


def simulated_calls(body: str, stage: Activity) -> Iterator[SimulatedCall]:
    """List what the body of a simulated task asks a stage to spend: `spend STAGE TOKENS [CALLS [USED]]`, one wish a line.

    TOKENS is what each of the CALLS calls (1) may take at most, USED what it takes (all of it).
    """
    for line in body.splitlines():
        wish = _SPEND.match(line.strip())
        if wish and wish["stage"] == stage:
            tokens = int(wish["tokens"])
            call = SimulatedCall(tokens=tokens, used=min(tokens, int(wish["used"] or tokens)))
            yield from [call] * int(wish["calls"] or 1)


def provider_of(spec: TaskSpec, stage: Activity) -> str:
    """Name whom a stage pays for tokens; empty where it spends none, so that it needs no grant."""
    if (
        spec.engine == "noop"
        and stage != "workspace"
        and next(simulated_calls(spec.body, stage), None) is not None
    ):
        return SIMULATED
    return ""


def spends(spec: TaskSpec) -> bool:
    """Tell whether any stage of a task may spend tokens; of the others the ledger never hears."""
    return spec.engine == "noop" and any(_SPEND.match(line.strip()) for line in spec.body.splitlines())


class _Budget(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "budget"
    key: ClassVar[str] = "ledger"
    ledger: LedgerName


class GrantReserved(_Budget, frozen=True, kw_only=True):
    """An attempt may spend so many tokens; they count as used until it ends."""

    run_id: str
    task_id: str
    stage: Stage
    provider: str
    tokens: int
    #: What the task had spent before, as far as the task knows; counts where the ledger has forgotten the task.
    before: int = 0
    at: datetime


class GrantRaised(_Budget, frozen=True, kw_only=True):
    """An attempt that is under way may spend so many tokens more."""

    run_id: str
    task_id: str
    provider: str
    tokens: int
    at: datetime


class GrantSettled(_Budget, frozen=True, kw_only=True):
    """An attempt has ended: what it spent counts for an hour from now, the rest is free at once."""

    run_id: str
    task_id: str
    stage: Stage
    provider: str
    reserved: int
    spent: int
    #: Whether it was stopped, or got no more tokens: then what it spent says nothing of what suffices.
    cut_short: bool = False
    at: datetime


class GrantDeferred(_Budget, frozen=True, kw_only=True):
    """A grant does not fit now; the task waits, and those who come later wait behind it."""

    task_id: str
    provider: str
    tokens: int
    #: The account that is short.
    scope: str
    #: When it is expected to fit.
    until: datetime
    at: datetime


class GrantCalled(_Budget, frozen=True, kw_only=True):
    """A deferred grant fits earlier than expected."""

    task_id: str
    at: datetime


class GrantForgone(_Budget, frozen=True, kw_only=True):
    """A deferred grant is waited for no longer: its task has ended, or got no slot while tokens were kept for it."""

    task_id: str


class AccountClosed(_Budget, frozen=True, kw_only=True):
    """A task that has spent tokens has ended: after an hour the ledger forgets how many."""

    task_id: str


class CeilingChanged(_Budget, frozen=True, kw_only=True):
    """How many tokens an account may hold, reserved and spent, within an hour."""

    #: `hour` or `provider:<name>`; a task's own ceiling is in its stream.
    scope: str
    #: None lifts it; only a provider's can be lifted.
    tokens: int | None
    actor: str
    at: datetime


class BudgetWarned(_Budget, frozen=True, kw_only=True):
    """An account has come to 80 % of its ceiling, or somebody has to wait because of it (100 %)."""

    scope: str
    percent: Literal[80, 100]
    used: int
    ceiling: int
    at: datetime


BudgetEvent: TypeAlias = (
    GrantReserved
    | GrantRaised
    | GrantSettled
    | GrantDeferred
    | GrantCalled
    | GrantForgone
    | AccountClosed
    | CeilingChanged
    | BudgetWarned
)
