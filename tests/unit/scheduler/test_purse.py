"""What a task is offered: sized by history, never the whole of its budget, and honest about what it lacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from contracts.budget import HOUR
from contracts.task import TokenGrant
from services.scheduler.domain.commands import Submit
from services.scheduler.domain.ledger import Account, Grant, Ledger, TaskAccount, minute_of
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


def test_a_single_token_is_granted_and_what_is_lacking_is_said_in_numbers() -> None:
    assert offer(spending(1)) == TokenGrant(tokens=1, provider="simulated")
    for wanted, reason in (
        (0, "10000 of the task's 10000 tokens are spent; nothing is left for implement"),
        (1, "10000 of the task's 10000 tokens are spent; implement needs 1 more"),
    ):
        short = offer(spending(wanted=wanted), tasks={"t1": TaskAccount(spent=10_000)})
        assert isinstance(short, Shortage)
        assert short.reason == reason


def test_what_is_live_is_not_left() -> None:
    held = {"r0": Grant(task_id="t1", stage="plan", provider="simulated", tokens=9_600)}
    given = offer(spending(), grants=held, tasks={"t1": TaskAccount(live=9_600)})
    assert given == TokenGrant(tokens=400, provider="simulated")


def raised(missing: int, *, own: TaskAccount, hour: int = 0) -> int | Shortage:
    """What a run with a grant of 1,000 gets more, in an hour of 100,000 of which so much is used besides."""
    ledger = Ledger(
        grants={"r1": Grant(task_id="t1", stage="implement", provider="simulated", tokens=1_000)},
        tasks={"t1": own},
        accounts={HOUR: Account(live=1_000, spent={minute_of(NOW): hour})},
    )
    return Purse(ledger=ledger, now=NOW).raised(spending(), "r1", missing)


def test_a_run_gets_what_it_lacks_and_some_more_where_that_fits() -> None:
    little = TaskAccount(live=1_000)
    assert raised(1, own=little) == 1_000
    assert raised(1_500, own=little) == 1_500
    assert raised(9_000, own=little) == 9_000
    assert raised(1, own=TaskAccount(live=1_000, spent=8_700)) == 300
    assert raised(300, own=TaskAccount(live=1_000, spent=8_700)) == 300
    assert raised(400, own=little, hour=98_600) == 400
    assert raised(400, own=little, hour=98_000) == 1_000


def test_a_run_gets_nothing_where_not_even_what_it_lacks_fits() -> None:
    short = raised(301, own=TaskAccount(live=1_000, spent=8_700))
    assert isinstance(short, Shortage)
    assert (short.scope, short.until, short.tokens) == ("task:t1", None, 301)
    assert short.reason == "300 of the task's 10000 tokens are left, 301 are needed"
    short = raised(401, own=TaskAccount(live=1_000), hour=98_600)
    assert isinstance(short, Shortage)
    assert (short.scope, short.tokens) == (HOUR, 401)
    assert short.reason == ("401 tokens are needed; of the 100000 of the hour, 99600 are spent or reserved")


def test_a_need_above_the_ceiling_takes_a_person() -> None:
    short = offer(spending(wanted=3_000), ceilings={HOUR: 2_000})
    assert isinstance(short, Shortage)
    assert (short.scope, short.until) == (HOUR, None)
