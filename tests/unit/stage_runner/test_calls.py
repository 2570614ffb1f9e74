"""A run's own ledger of calls: reserved within its grant, settled once, and what nobody knows counts in full."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.stage import CallReserved, CallSettled, StageFailed, StageOutput, TokenGrantExhausted
from libs.testing.scenario import Scenario
from services.stage_runner.domain import (
    Claim,
    Complete,
    ReserveCall,
    Resume,
    Run,
    SettleCall,
    Stop,
    Which,
    run,
)

WHICH = Which(run_id="t1-plan-1", task_id="t1", stage="plan", attempt=1)
CLAIMED = Scenario(run, tuple(run.decide(Claim(which=WHICH, replica="a", epoch=1), Run())))
COMPLETE = Complete(output=StageOutput(), evidence=(), duration_s=1.0)


def reserve(call: str, tokens: int, *, granted: int = 1_000, answered: int = 0) -> ReserveCall:
    return ReserveCall(call=call, provider="p", tokens=tokens, granted=granted, answered=answered)


def spent(made: Any) -> int:
    """What a run's end tells of its spending."""
    total: int = made.events[-1].tokens_spent
    return total


def test_a_call_that_is_settled_is_not_made_again() -> None:
    made = CLAIMED.when(
        reserve("1", 600), SettleCall(call="1", tokens=400, reference="d"), reserve("1", 600), COMPLETE
    )
    made.then_types(CallReserved, CallSettled, type(made.events[-1]))
    assert spent(made) == 400
    assert made.state.answers == {"1": "d"}


def test_a_call_whose_outcome_is_not_known_counts_as_what_it_might_take() -> None:
    for end in (COMPLETE, Stop(which=WHICH, reason="asked", gone=True)):
        assert spent(CLAIMED.when(reserve("1", 600), end)) == 600


def test_a_call_that_is_repeated_after_a_crash_counts_twice() -> None:
    resume = Resume(gone=("a", 1), replica="b", epoch=1, reason="the lease lapsed")
    made = CLAIMED.when(
        reserve("1", 300), resume, reserve("1", 300), SettleCall(call="1", tokens=100), COMPLETE
    )
    assert spent(made) == 400


def test_a_run_that_kills_its_runner_counts_what_it_may_have_spent() -> None:
    commands: list[Any] = [reserve("1", 300)]
    commands += [
        Resume(gone=("a", epoch), replica="a", epoch=epoch + 1, reason="died") for epoch in range(1, 6)
    ]
    made = CLAIMED.when(*commands)
    assert isinstance(made.events[-1], StageFailed)
    assert spent(made) == 300


def test_more_is_asked_for_once_for_each_answer() -> None:
    made = CLAIMED.when(
        reserve("1", 900),
        reserve("2", 300),
        reserve("2", 300),
        reserve("2", 300, answered=1),
        reserve("2", 300, granted=1_200, answered=2),
    )
    asked = [event for event in made.events if isinstance(event, TokenGrantExhausted)]
    assert [(one.number, one.tokens, one.wanted) for one in asked] == [(1, 200, 1_200), (2, 200, 1_200)]
    assert isinstance(made.events[-1], CallReserved)


def test_a_call_cannot_take_more_than_was_reserved_for_it() -> None:
    made = CLAIMED.when(reserve("1", 300), SettleCall(call="1", tokens=301), COMPLETE)
    assert spent(made) == 300


class Calls(RuleBasedStateMachine):
    """Any order of calls, settlements, repetitions and top-ups."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Run = run.fold(CLAIMED.history)
        self.granted, self.made, self.took = 1_000, 0, 0
        self.calling: dict[str, int] = {}

    def decide(self, command: Any) -> list[Any]:
        events = list(run.decide(command, self.state))
        for event in events:
            self.state = run.evolve(self.state, event)
        return events

    @rule(call=st.sampled_from("abcd"), tokens=st.integers(1, 700))
    def reserve(self, call: str, tokens: int) -> None:
        for event in self.decide(reserve(call, tokens, granted=self.granted)):
            if isinstance(event, CallReserved):
                self.made += tokens
                self.took += self.calling.get(call, 0)
                self.calling[call] = tokens

    @rule(call=st.sampled_from("abcd"), tokens=st.integers(0, 700))
    def settle(self, call: str, tokens: int) -> None:
        if self.decide(SettleCall(call=call, tokens=tokens)):
            assert tokens <= self.calling.pop(call)
            self.took += tokens

    @rule(tokens=st.integers(1, 500))
    def top_up(self, tokens: int) -> None:
        self.granted += tokens

    @invariant()
    def spent_is_within_reserved_is_within_granted(self) -> None:
        assert self.state.tokens_spent == self.took + sum(self.calling.values())
        assert self.state.tokens_spent <= self.granted
        assert self.took <= self.made


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
