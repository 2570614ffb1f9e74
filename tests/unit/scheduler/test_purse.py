"""What a task is offered: sized by history, never the whole of its budget, and honest about what it lacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from contracts.budget import HOUR
from contracts.task import TokenGrant
from services.scheduler.domain.commands import Submit
from services.scheduler.domain.ledger import Account, Ledger, TaskAccount, minute_of
from services.scheduler.domain.purse import Purse, Shortage
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
USUAL = {"simulated/implement": (1_950,) * 20}


def spending(tokens: int = 10_000, **known: Any) -> Task:
    """A task whose implement spends."""
    spec = facts.spec(
        engine="noop", synthetic=True, patch=None, body="spend implement 10", budget={"tokens": tokens}
    )
    state = Task()
    for event in task.decide(
        Submit(task_id="t1", spec=spec, depends_on=(), request_digest="", now=NOW), state
    ):
        state = task.evolve(state, event)
    return msgspec.structs.replace(state, **known)


def offer(state: Task, **ledger: Any) -> TokenGrant | Shortage | None:
    """What its implement is offered by such a ledger."""
    return Purse(ledger=Ledger(name="synthetic", **ledger), now=NOW).offer(state, "implement")


def test_a_stage_that_spends_nothing_is_offered_nothing() -> None:
    assert Purse(ledger=Ledger(), now=NOW).offer(spending(), "plan") is None


def test_a_grant_is_what_such_attempts_usually_spend_and_a_floor_before_that_is_known() -> None:
    assert offer(spending()) == TokenGrant(tokens=1_000, provider="simulated")
    assert offer(spending(), history=USUAL) == TokenGrant(tokens=2_000, provider="simulated")


def test_it_is_never_the_whole_budget_nor_more_than_is_left_of_it() -> None:
    assert offer(spending(1_501), history=USUAL) == TokenGrant(tokens=751, provider="simulated")
    left = offer(spending(), history=USUAL, tasks={"t1": TaskAccount(spent=9_700)})
    assert left == TokenGrant(tokens=300, provider="simulated", before=9_700)


def test_what_a_ledger_has_forgotten_the_task_remembers() -> None:
    known = spending(grant=TokenGrant(tokens=4_000, provider="simulated", before=5_900))
    assert offer(known) == TokenGrant(tokens=100, provider="simulated", before=9_900)


def test_what_the_last_run_was_short_of_comes_first() -> None:
    assert offer(spending(wanted=3_300)) == TokenGrant(tokens=3_300, provider="simulated")


def test_a_spent_budget_is_nothing_that_time_mends() -> None:
    for state, ledger in (
        (spending(), {"tasks": {"t1": TaskAccount(spent=10_000)}}),
        (spending(wanted=3_300), {"tasks": {"t1": TaskAccount(spent=7_000)}}),
        (spending(0), {}),
    ):
        short = offer(state, **ledger)
        assert isinstance(short, Shortage)
        assert (short.scope, short.until) == ("task:t1", None)


def test_a_full_hour_tells_when_it_is_free() -> None:
    full = {HOUR: Account(spent={minute_of(NOW): 99_500})}
    short = offer(spending(), accounts=full)
    assert isinstance(short, Shortage)
    assert (short.scope, short.until) == (HOUR, NOW + timedelta(minutes=61))


def test_a_need_above_the_ceiling_takes_a_person() -> None:
    short = offer(spending(wanted=3_000), ceilings={HOUR: 2_000})
    assert isinstance(short, Shortage)
    assert (short.scope, short.until) == (HOUR, None)
