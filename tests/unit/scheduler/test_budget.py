"""The ledger of tokens against a one-page model: whatever happens in whatever order, spent <= reserved <= budget."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.budget import (
    HOUR,
    AccountClosed,
    BudgetWarned,
    CeilingChanged,
    GrantCalled,
    GrantDeferred,
    GrantForgone,
    GrantRaised,
    GrantReserved,
    GrantSettled,
)
from contracts.task import TokenGrant
from libs.testing.scenario import Scenario
from services.scheduler.domain.budget import (
    ChangeCeiling,
    Close,
    Defer,
    Lapse,
    Raise,
    Reserve,
    SettleGrant,
    Short,
    budget,
    lacking,
)
from services.scheduler.domain.ledger import KEPT, Ledger, minute_of, scopes_of
from services.scheduler.domain.purse import FLOOR, usual_tokens

START = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
WINDOW = timedelta(hours=1)
#: For how long spending may count, minutes being counted whole.
LONGEST = timedelta(minutes=62)
OWN, IN_ALL, OF_A = 3_000, 5_000, 2_500
TOKENS = st.integers(1, 1_500)
TASKS, PROVIDERS = st.sampled_from(["t1", "t2", "t3", "t4"]), st.sampled_from(["a", "b"])


class Model:
    """What a ledger promises, in the plainest words: lists, exact moments, nothing forgotten but what left the window."""

    def __init__(self) -> None:
        self.ceilings = {HOUR: IN_ALL, "provider:a": OF_A}
        self.live: dict[str, tuple[str, str, int]] = {}
        self.settled: list[tuple[datetime, str, int]] = []
        self.everything: list[tuple[datetime, str, int]] = []
        self.by_task: Counter[str] = Counter()
        self.waiting: dict[str, tuple[str, int, datetime]] = {}

    def used(self, scope: str, now: datetime, window: timedelta = WINDOW) -> int:
        live = sum(tokens for _, provider, tokens in self.live.values() if scope in scopes_of(provider))
        return live + sum(
            tokens
            for at, provider, tokens in (self.settled if window == WINDOW else self.everything)
            if scope in scopes_of(provider) and at > now - window
        )

    def in_front(self, task: str, scope: str, now: datetime, window: timedelta) -> int:
        """Who waits for its provider takes nothing of the hour before it; who needs more than a ceiling, nothing at all."""
        found: Counter[str] = Counter()
        for name, (provider, tokens, until) in self.waiting.items():
            if name == task:
                break
            of = scopes_of(provider)
            if now < until + KEPT and all(tokens <= self.ceilings.get(one, tokens) for one in of):
                found[of[1]] += tokens
        if scope != HOUR:
            return found[scope]
        return sum(
            min(tokens, max(self.ceilings[one] - self.used(one, now, window), 0))
            if one in self.ceilings
            else tokens
            for one, tokens in found.items()
        )

    def fits(self, task: str, provider: str, tokens: int, now: datetime, window: timedelta = WINDOW) -> bool:
        # The longer a provider's spending counts, the less is kept for its tasks: bounds on both go to opposite ends.
        other = LONGEST if window == WINDOW else WINDOW
        return all(
            self.used(scope, now, window) + self.in_front(task, scope, now, other) + tokens <= ceiling
            for scope, ceiling in self.ceilings.items()
            if scope in scopes_of(provider)
        )

    def of_task(self, task: str) -> int:
        return self.by_task[task] + sum(tokens for owner, _, tokens in self.live.values() if owner == task)

    def enter(self, now: datetime) -> None:
        """What an entry has seen leave the window is gone, also if the clock is set back afterwards."""
        self.settled = [one for one in self.settled if one[0] > now - WINDOW]


class Machine(RuleBasedStateMachine):
    """Any interleaving of grants, top-ups, ends, waits and changed ceilings, with a clock that may be set back."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.now, self.runs = Model(), START, 0
        self.state = Ledger(ceilings=dict(self.model.ceilings))

    def decide(self, kind: Any, **values: Any) -> list[Any]:
        command = kind(ledger="main", now=self.now, **values)
        events = list(budget.decide(command, self.state))
        for event in events:
            self.state = budget.evolve(self.state, event)
        return events

    @rule(seconds=st.one_of(st.integers(-180, 600), st.sampled_from([3_000, 3_599, 3_600, 3_601, 3_700])))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(task=TASKS, provider=PROVIDERS, tokens=TOKENS)
    def reserve(self, task: str, provider: str, tokens: int) -> None:
        self.runs += 1
        grant = TokenGrant(tokens=tokens, provider=provider, before=self.model.by_task[task])
        events = self.decide(
            Reserve, run_id=f"r{self.runs}", task_id=task, stage="plan", grant=grant, ceiling=OWN
        )
        within = self.model.of_task(task) + tokens <= OWN
        if any(isinstance(event, GrantReserved) for event in events):
            assert within
            assert self.model.fits(task, provider, tokens, self.now)
            self.model.live[f"r{self.runs}"] = (task, provider, tokens)
            self.model.waiting.pop(task, None)
            self.model.enter(self.now)
        else:
            # Refused only if it would not fit were every minute counted whole.
            assert not (within and self.model.fits(task, provider, tokens, self.now, LONGEST))

    @precondition(lambda self: self.model.live)
    @rule(data=st.data(), tokens=TOKENS)
    def top_up(self, data: st.DataObject, tokens: int) -> None:
        run = data.draw(st.sampled_from(sorted(self.model.live)))
        task, provider, before = self.model.live[run]
        if any(
            isinstance(event, GrantRaised)
            for event in self.decide(Raise, run_id=run, tokens=tokens, ceiling=OWN)
        ):
            assert self.model.of_task(task) + tokens <= OWN
            assert self.model.fits(task, provider, tokens, self.now)
            self.model.live[run] = (task, provider, before + tokens)
            self.model.enter(self.now)
        else:
            within = self.model.of_task(task) + tokens <= OWN
            assert not (within and self.model.fits(task, provider, tokens, self.now, LONGEST))

    @precondition(lambda self: self.model.live)
    @rule(data=st.data(), again=st.booleans())
    def end(self, data: st.DataObject, again: bool) -> None:
        run = data.draw(st.sampled_from(sorted(self.model.live)))
        task, provider, tokens = self.model.live.pop(run)
        spent = data.draw(st.integers(0, tokens))
        settled, *called = self.decide(SettleGrant, run_id=run, spent=spent)
        assert isinstance(settled, GrantSettled)
        assert (settled.reserved, settled.spent) == (tokens, spent)
        self.model.enter(self.now)
        self.model.settled.append((self.now, provider, spent))
        self.model.everything.append((self.now, provider, spent))
        self.model.by_task[task] += spent
        self.call(called)
        if again:
            assert self.decide(SettleGrant, run_id=run, spent=tokens) == []

    @rule(task=TASKS, provider=PROVIDERS, tokens=st.integers(1, 2_000))
    def wait(self, task: str, provider: str, tokens: int) -> None:
        short = lacking(self.state, task, provider, tokens, self.now)
        if short is not None and short.until is not None:
            assert short.until > self.now
            (deferred, *_) = self.decide(
                Defer, task_id=task, provider=provider, tokens=tokens, scope=short.scope, until=short.until
            )
            assert isinstance(deferred, GrantDeferred)
            still = {name: one for name, one in self.model.waiting.items() if self.now < one[2] + KEPT}
            self.model.waiting = {**still, task: (provider, tokens, short.until)}

    @rule(task=TASKS)
    def close(self, task: str) -> None:
        events = self.decide(Close, task_id=task)
        self.model.waiting.pop(task, None)
        self.call([event for event in events if not isinstance(event, GrantForgone | AccountClosed)])
        assert self.decide(Close, task_id=task) == []

    @rule(scope=st.sampled_from([HOUR, "provider:a", "provider:b"]), tokens=st.integers(1_000, 6_000))
    def change(self, scope: str, tokens: int) -> None:
        changed = self.decide(ChangeCeiling, scope=scope, tokens=tokens, actor="ann")
        if changed:
            assert isinstance(changed[0], CeilingChanged)
        self.model.ceilings[scope] = tokens
        self.call(changed[1:])

    def call(self, events: list[Any]) -> None:
        for event in events:
            assert isinstance(event, GrantCalled)
            provider, tokens, _ = self.model.waiting[event.task_id]
            assert self.model.fits(event.task_id, provider, tokens, self.now)
            self.model.waiting[event.task_id] = (provider, tokens, self.now)

    @invariant()
    def no_task_is_over_its_budget(self) -> None:
        for task in ("t1", "t2", "t3", "t4"):
            assert self.model.of_task(task) <= OWN

    @invariant()
    def what_counts_is_never_less_than_what_the_window_holds(self) -> None:
        for scope in (HOUR, "provider:a", "provider:b"):
            assert self.state.account(scope).used(self.now) >= self.model.used(scope, self.now)

    @invariant()
    def it_stays_small(self) -> None:
        assert set(self.state.grants) == set(self.model.live)
        assert len(self.state.deferred) <= 4
        assert len(self.state.account(HOUR).spent) <= 80


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


class Steady(Machine):
    """The same with ceilings that stay and a clock that goes on: then no hour of the past was over its ceiling."""

    @rule(seconds=st.one_of(st.integers(0, 900), st.sampled_from([3_000, 3_599, 3_600])))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def change(self) -> None:
        pass

    @invariant()
    def no_hour_was_over_its_ceiling(self) -> None:
        for end, _, _ in self.model.everything:
            for scope, ceiling in self.model.ceilings.items():
                spent = sum(
                    tokens
                    for at, provider, tokens in self.model.everything
                    if scope in scopes_of(provider) and end - WINDOW < at <= end
                )
                assert spent <= ceiling


TestSteady = Steady.TestCase
TestSteady.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


def spent(*entries: tuple[int, int]) -> Ledger:
    """A ledger in which so many seconds after the start so much was spent."""
    state = Ledger()
    for number, (second, tokens) in enumerate(entries):
        at = START + timedelta(seconds=second)
        for event in (
            GrantReserved(
                ledger="main",
                run_id=f"r{number}",
                task_id=f"t{number}",
                stage="plan",
                provider="a",
                tokens=tokens,
                at=at,
            ),
            GrantSettled(
                ledger="main",
                run_id=f"r{number}",
                task_id=f"t{number}",
                stage="plan",
                provider="a",
                reserved=tokens,
                spent=tokens,
                at=at,
            ),
        ):
            state = budget.evolve(state, event)
    return state


@given(
    st.lists(st.tuples(st.integers(0, 3_500), st.integers(1, 20_000)), max_size=12), st.integers(1, 100_000)
)
def test_the_moment_that_is_told_is_the_first_at_which_it_fits(
    entries: list[tuple[int, int]], tokens: int
) -> None:
    state, now = spent(*sorted(entries)), START + timedelta(seconds=3_500)
    short = lacking(state, "new", "a", tokens, now)
    if short is None:
        assert state.account(HOUR).used(now) + tokens <= 100_000
        return
    assert short.until is not None
    assert short.until <= now + timedelta(minutes=61)
    assert lacking(state, "new", "a", tokens, short.until) is None
    assert lacking(state, "new", "a", tokens, short.until - timedelta(seconds=1)) is not None


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 5_000)), max_size=30), st.integers(0, 30_000)
)
def test_a_minute_counts_whole_until_it_has_left_the_window_entirely(
    entries: list[tuple[int, int]], second: int
) -> None:
    known = [one for one in sorted(entries) if one[0] <= second]
    used = spent(*known).account(HOUR).used(START + timedelta(seconds=second))
    assert used >= sum(tokens for at, tokens in known if at > second - 3_600)
    assert used <= sum(tokens for at, tokens in known if at > second - 3_720)


def test_more_than_the_ceiling_is_not_waited_for() -> None:
    short = lacking(Ledger(), "t", "a", 100_001, START)
    assert short is not None
    assert short.until is None


def reserve(run: str, tokens: int, *, task: str = "t1", own: int = 10_000, minute: int = 0) -> Reserve:
    return Reserve(
        ledger="main",
        now=START + timedelta(minutes=minute),
        run_id=run,
        task_id=task,
        stage="plan",
        grant=TokenGrant(tokens=tokens, provider="a"),
        ceiling=own,
    )


def told(events: Any) -> list[BudgetWarned]:
    return [event for event in events if isinstance(event, BudgetWarned) and event.scope == HOUR]


def warned(events: Any) -> list[tuple[str, int]]:
    return [(event.scope, event.percent) for event in events if isinstance(event, BudgetWarned)]


def test_at_80_percent_there_is_a_warning_once_for_each_crossing() -> None:
    low = CeilingChanged(ledger="main", scope=HOUR, tokens=1_000, actor="ann", at=START)
    settle = SettleGrant(ledger="main", now=START, run_id="r2", spent=0)
    seen = (
        Scenario(budget)
        .given(low)
        .when(reserve("r1", 600), reserve("r2", 199), settle, reserve("r3", 200), reserve("r4", 100))
    )
    assert warned(seen.events) == [(HOUR, 80)]
    again = [reserve("r5", 900, minute=62)]
    ends = [
        SettleGrant(ledger="main", now=START, run_id=run, spent=spent)
        for run, spent in (("r1", 600), ("r3", 200), ("r4", 100))
    ]
    assert warned(Scenario(budget).given(low, *seen.events).when(*ends, *again).events) == [(HOUR, 80)]


def test_an_account_that_swings_is_warned_of_once_a_window() -> None:
    low = CeilingChanged(ledger="main", scope=HOUR, tokens=1_000, actor="ann", at=START)
    swings = [
        one
        for minute in range(130)
        for one in (
            reserve(f"r{minute}", 900, task=f"t{minute}", minute=minute),
            Defer(
                ledger="main",
                now=START + timedelta(minutes=minute),
                task_id=f"w{minute}",
                provider="a",
                tokens=1_000,
                scope=HOUR,
                until=START + timedelta(minutes=minute + 1),
            ),
            Close(ledger="main", now=START + timedelta(minutes=minute), task_id=f"w{minute}"),
            SettleGrant(ledger="main", now=START + timedelta(minutes=minute), run_id=f"r{minute}", spent=0),
        )
    ]
    seen = Scenario(budget).given(low).when(*swings)
    assert [(event.percent, minute_of(event.at) - minute_of(START)) for event in told(seen.events)] == [
        (80, 0),
        (100, 0),
        (80, 61),
        (100, 61),
        (80, 122),
        (100, 122),
    ]


@pytest.mark.parametrize(("held", "again"), [(700, []), (699, [(HOUR, 80)])])
def test_it_is_calm_again_below_70_percent(held: int, again: list[tuple[str, int]]) -> None:
    low = CeilingChanged(ledger="main", scope=HOUR, tokens=1_000, actor="ann", at=START)
    first = Scenario(budget).given(low).when(reserve("r0", held), reserve("r1", 200, task="t2")).events
    assert warned(first) == [(HOUR, 80)]
    settle = SettleGrant(ledger="main", now=START + timedelta(minutes=61), run_id="r1", spent=0)
    seen = Scenario(budget).given(low, *first).when(settle, reserve("r2", 200, task="t3", minute=61))
    assert warned(seen.events) == again


def test_a_new_ceiling_is_warned_of_anew() -> None:
    low = CeilingChanged(ledger="main", scope=HOUR, tokens=1_000, actor="ann", at=START)
    higher = ChangeCeiling(ledger="main", now=START, scope=HOUR, tokens=2_000, actor="ann")
    seen = Scenario(budget).given(low).when(reserve("r1", 900), higher, reserve("r2", 800))
    assert [(event.used, event.ceiling) for event in told(seen.events)] == [(900, 1_000), (1_700, 2_000)]


def deferred(task: str, provider: str, tokens: int, *, minute: int = 60) -> GrantDeferred:
    return GrantDeferred(
        ledger="main",
        task_id=task,
        provider=provider,
        tokens=tokens,
        scope=HOUR,
        until=START + timedelta(minutes=minute),
        at=START,
    )


def ceilings(**tokens: int) -> list[CeilingChanged]:
    return [
        CeilingChanged(
            ledger="main",
            scope=HOUR if name == HOUR else f"provider:{name}",
            tokens=most,
            actor="ann",
            at=START,
        )
        for name, most in tokens.items()
    ]


def test_who_waits_for_a_provider_leaves_the_hour_to_others() -> None:
    waiting = [deferred(f"t{number}", "a", 1_000) for number in range(20)]
    state = budget.fold([*ceilings(hour=10_000, a=1_500), *waiting])
    # Provider a admits 1,500 of what they need, and so much of the hour is kept for them.
    assert lacking(state, "new", "b", 8_500, START) is None
    assert lacking(state, "new", "b", 8_501, START) is not None
    assert lacking(state, "new", "a", 1, START) is not None


def test_who_is_called_is_not_held_back_by_those_that_wait_for_another_provider() -> None:
    waiting = [*(deferred(f"t{number}", "a", 1_000) for number in range(10)), deferred("last", "b", 5_000)]
    history = [*ceilings(hour=1_000, a=1_000), *waiting]
    changed = ChangeCeiling(ledger="main", now=START, scope=HOUR, tokens=10_000, actor="ann")
    called = Scenario(budget).given(*history).when(changed).events[1:]
    assert [event.task_id for event in called if isinstance(event, GrantCalled)] == ["t0", "last"]


@pytest.mark.parametrize("lowered", [{"hour": 5_000}, {"a": 5_000}])
def test_who_needs_more_than_a_lowered_ceiling_holds_nobody_back(lowered: dict[str, int]) -> None:
    history = [*ceilings(hour=10_000, a=10_000), deferred("t1", "a", 8_000), *ceilings(**lowered)]
    assert lacking(budget.fold(history), "t2", "a", 5_000, START) is None
    raised = ChangeCeiling(ledger="main", now=START, scope="provider:c", tokens=1_000, actor="ann")
    called = Scenario(budget).given(*history, deferred("t2", "a", 5_000)).when(raised).events[1:]
    assert [event.task_id for event in called if isinstance(event, GrantCalled)] == ["t2"]


def test_the_moment_told_is_a_day_away_at_most() -> None:
    much = 10**12
    high = ceilings(hour=2 * much)
    live = Scenario(budget).given(*high).when(reserve("r1", much, own=much)).events
    state = budget.fold([*high, *live, *ceilings(hour=1_000)])
    short = lacking(state, "t2", "a", 1_000, START)
    assert short is not None
    assert short.until is not None
    assert START < short.until <= START + timedelta(minutes=24 * 61)


def test_tokens_are_kept_for_a_task_until_its_time_is_over() -> None:
    history = [deferred("t1", "a", 90_000), deferred("t2", "a", 80_000, minute=600)]
    minutes = {
        minute: Lapse(ledger="main", now=START + timedelta(minutes=minute), task_id="t1")
        for minute in (0, 60, 64, 65)
    }
    for minute in (0, 60, 64):
        Scenario(budget).given(*history).when(minutes[minute]).then_nothing()
    Scenario(budget).given(*history).when(minutes[65]).then_types(GrantForgone, GrantCalled)
    Scenario(budget).when(minutes[65]).then_nothing()


def test_what_a_task_has_spent_is_kept_while_it_is_open_and_for_an_hour() -> None:
    history = spent((0, 100), (0, 200), (0, 300))
    closed = AccountClosed(ledger="main", task_id="t1")
    close = Close(ledger="main", now=START, task_id="t1")
    assert list(budget.decide(close, history)) == [closed]
    state = budget.evolve(history, closed)
    assert list(budget.decide(close, state)) == []

    def after(minutes: int, task: str) -> Ledger:
        return budget.fold(budget.decide(reserve("r9", 1, task=task, minute=minutes), state), state)

    assert set(after(60, "t9").tasks) == {"t0", "t1", "t2", "t9"}
    assert set(after(61, "t9").tasks) == {"t0", "t2", "t9"}
    assert after(100_000, "t9").task("t2").spent == 300
    # Who is taken up again is open, however long ago that was.
    assert after(100_000, "t1").task("t1").open


def test_what_was_cut_short_is_no_history() -> None:
    ends = [
        SettleGrant(ledger="main", now=START, run_id="r1", spent=100, cut_short=True),
        SettleGrant(ledger="main", now=START, run_id="r2", spent=200),
    ]
    seen = Scenario(budget).when(reserve("r1", 300), reserve("r2", 300), *ends)
    assert seen.state.history == {"a/plan": (200,)}
    assert seen.state.account(HOUR).used(START) == 300


def test_a_task_is_warned_of_its_own_budget() -> None:
    seen = Scenario(budget).when(reserve("r1", 700, own=1_000), reserve("r2", 100, own=1_000))
    assert warned(seen.events) == [("task:t1", 80)]


def test_a_run_that_is_not_live_is_given_nothing_and_settled_never() -> None:
    more = Raise(ledger="main", now=START, run_id="r1", tokens=1, ceiling=10_000)
    settle = SettleGrant(ledger="main", now=START, run_id="r1", spent=1)
    Scenario(budget).when(more, settle).then_nothing()
    ended = Scenario(budget).when(reserve("r1", 100), settle)
    assert ended.state == Scenario(budget).when(reserve("r1", 100), settle, settle, more).state


def test_what_is_added_to_a_grant_is_warned_of_as_well() -> None:
    low = CeilingChanged(ledger="main", scope="provider:a", tokens=1_000, actor="ann", at=START)
    more = Raise(ledger="main", now=START, run_id="r1", tokens=100, ceiling=1_000)
    seen = Scenario(budget).given(low).when(reserve("r1", 700, own=1_000), more)
    assert warned(seen.events) == [("task:t1", 80), ("provider:a", 80)]


@pytest.mark.parametrize(("tokens", "made"), [(600, [GrantReserved]), (601, [])])
def test_a_grant_is_reserved_up_to_the_tasks_ceiling(tokens: int, made: list[Any]) -> None:
    ended = SettleGrant(ledger="main", now=START, run_id="r1", spent=300)
    history = Scenario(budget).when(reserve("r1", 500), ended, reserve("r2", 100)).events
    seen = Scenario(budget).given(*history).when(reserve("r3", tokens, own=1_000))
    assert [type(event) for event in seen.events if isinstance(event, GrantReserved)] == made


def test_those_behind_keep_nothing_from_who_is_in_front() -> None:
    state = budget.fold([*ceilings(hour=10_000), deferred("t1", "a", 1_000), deferred("t2", "a", 9_500)])
    assert lacking(state, "t1", "a", 10_000, START) is None
    assert lacking(state, "t2", "a", 9_000, START) is None
    assert lacking(state, "t2", "a", 9_001, START) is not None


def test_a_window_admits_as_much_as_its_ceiling_to_those_who_wait() -> None:
    live = Scenario(budget).given(*ceilings(hour=1_000)).when(reserve("r1", 1_000)).events
    waiting = [deferred(f"w{number}", "a", 1_000) for number in range(3)]
    state = budget.fold([*ceilings(hour=1_000), *live, *waiting])
    assert lacking(state, "t2", "a", 1_000, START) == Short(
        scope=HOUR, until=START + timedelta(minutes=4 * 61)
    )


def test_who_was_woken_is_not_called_as_well() -> None:
    live = Scenario(budget).when(reserve("r1", 1_000)).events
    for minute, called in ((59, [GrantCalled]), (60, [])):
        settle = SettleGrant(ledger="main", now=START + timedelta(minutes=minute), run_id="r1", spent=0)
        seen = Scenario(budget).given(*live, deferred("w1", "a", 1_000)).when(settle)
        assert [type(event) for event in seen.events[1:]] == called


def test_a_grant_is_raised_up_to_the_tasks_ceiling() -> None:
    for tokens, made in ((300, [GrantRaised]), (301, [])):
        more = Raise(ledger="main", now=START, run_id="r2", tokens=tokens, ceiling=1_000)
        ended = SettleGrant(ledger="main", now=START, run_id="r1", spent=400)
        seen = Scenario(budget).when(reserve("r1", 500), ended, reserve("r2", 300), more)
        assert [type(event) for event in seen.events if isinstance(event, GrantRaised)] == made


@pytest.mark.parametrize(("tokens", "told"), [(799, []), (800, [(HOUR, 80)])])
def test_80_percent_are_80_percent(tokens: int, told: list[tuple[str, int]]) -> None:
    seen = Scenario(budget).given(*ceilings(hour=1_000)).when(reserve("r1", tokens))
    assert warned(seen.events) == told


@pytest.mark.parametrize("tokens", [1, 1_000])
def test_what_is_live_is_told_to_be_free_a_window_later(tokens: int) -> None:
    live = Scenario(budget).given(*ceilings(hour=1_000)).when(reserve("r1", 1_000)).events
    short = lacking(budget.fold([*ceilings(hour=1_000), *live]), "t2", "a", tokens, START)
    assert short == Short(scope=HOUR, until=START + timedelta(minutes=61))


def test_who_waits_for_a_provider_that_has_nothing_left_keeps_nothing_of_the_hour() -> None:
    state = budget.fold([*ceilings(hour=10_000, a=1_000), deferred("t1", "a", 1_000)], spent((0, 1_000)))
    assert lacking(state, "new", "b", 9_000, START) is None
    assert lacking(state, "new", "b", 9_001, START) is not None


def test_of_two_accounts_that_are_short_the_later_is_told_and_the_hour_if_they_are_alike() -> None:
    both = [*ceilings(hour=1_000, a=1_000), *Scenario(budget).when(reserve("r1", 1_000)).events]
    for settled, scope in (([], HOUR), (ceilings(a=500), "provider:a")):
        short = lacking(budget.fold([*both, *settled]), "t2", "a", 500, START)
        assert short is not None
        assert short.scope == scope


def test_a_run_is_reserved_once() -> None:
    seen = Scenario(budget).when(reserve("r1", 100), reserve("r1", 100))
    seen.then_types(GrantReserved)


def test_a_grant_suffices_for_nine_of_ten_of_the_last_attempts() -> None:
    assert usual_tokens(()) == FLOOR
    assert usual_tokens((5_000,) * 4) == FLOOR
    assert usual_tokens((120,) * 5) == 200
    assert usual_tokens((*range(100, 2_000, 100), 9_000)) == 1_800
    assert usual_tokens((200,) * 9 + (9_000,)) == 200
