"""One run: claimed once, ended once, with a ledger of its effects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.stage import (
    EffectIntended,
    EffectSettled,
    ResourceExceeded,
    StageCancelled,
    StageCompleted,
    StageFailed,
    StageOutput,
    StageResumed,
    StageStarted,
    WallLimitNear,
)
from contracts.task import Failure
from libs.testing.scenario import Scenario
from services.stage_runner.domain import (
    Claim,
    Complete,
    Exceeded,
    Fail,
    Intend,
    Resume,
    SettleEffect,
    Stop,
    Warn,
    Which,
    run,
)

WHICH = Which(run_id="t1-pr-1", task_id="t1", stage="pr", attempt=1)
CLAIM = Claim(which=WHICH, replica="stage-runner-1", epoch=3)
HELD = ("stage-runner-1", 3)
RESUME = Resume(gone=HELD, replica="stage-runner-2", epoch=1, reason="the lease lapsed")
COMPLETE = Complete(output=StageOutput(thoughts=("hm",)), evidence=(), duration_s=1.5)
FAILURE = Failure(kind="transient", code="forge_failed", detail="away")
FAIL = Fail(failure=FAILURE, output=StageOutput(), evidence=(), duration_s=1.5)
STOP, GONE = (Stop(which=WHICH, reason="asked", gone=gone) for gone in (False, True))
INTEND = Intend(effect="push:r", kind="push", target="u", detail="d")
SETTLE = SettleEffect(effect="push:r", outcome="done", reference="c")
FRESH = Scenario(run)
NAMES: dict[str, Any] = {"run_id": "t1-pr-1", "task_id": "t1", "stage": "pr", "attempt": 1}


def test_a_run_is_claimed_once() -> None:
    FRESH.when(CLAIM, CLAIM, Claim(which=WHICH, replica="stage-runner-2", epoch=9)).then(
        StageStarted(**NAMES, replica="stage-runner-1", epoch=3)
    )


def test_it_ends_as_its_stage_ended() -> None:
    FRESH.when(CLAIM, COMPLETE).then_types(StageStarted, StageCompleted)
    made = FRESH.when(CLAIM, FAIL)
    made.then_types(StageStarted, StageFailed)
    assert made.events[-1] == StageFailed(**NAMES, failure=FAILURE, duration_s=1.5)


@pytest.mark.parametrize("end", [COMPLETE, FAIL, GONE])
@pytest.mark.parametrize("late", [CLAIM, RESUME, INTEND, SETTLE, COMPLETE, FAIL, STOP, GONE])
def test_after_its_end_nothing_happens(end: Any, late: Any) -> None:
    FRESH.given(*FRESH.when(CLAIM, INTEND, end).events).when(late).then_nothing()


@pytest.mark.parametrize("early", [RESUME, INTEND, SETTLE, COMPLETE, FAIL])
def test_before_its_claim_nothing_happens(early: Any) -> None:
    FRESH.when(early).then_nothing()


def test_a_stop_before_the_start_ends_it_and_the_request_finds_it_ended() -> None:
    FRESH.when(STOP, CLAIM).then(StageCancelled(**NAMES, reason="asked"))


def test_a_stop_of_a_claimed_run_waits_until_its_processes_are_gone() -> None:
    FRESH.when(CLAIM, STOP).then_types(StageStarted)
    FRESH.when(CLAIM, STOP, GONE, GONE).then_types(StageStarted, StageCancelled)


def test_whoever_goes_on_with_it_is_recorded_and_the_same_holder_twice_is_once() -> None:
    made = FRESH.when(CLAIM, RESUME, RESUME)
    made.then_types(StageStarted, StageResumed)
    assert (made.state.replica, made.state.epoch, made.state.live) == ("stage-runner-2", 1, True)
    FRESH.when(CLAIM, Resume(gone=HELD, replica="stage-runner-1", epoch=3, reason="r")).then_types(
        StageStarted
    )
    FRESH.when(CLAIM, Resume(gone=HELD, replica="stage-runner-1", epoch=4, reason="r")).then_types(
        StageStarted, StageResumed
    )


def test_who_saw_an_earlier_holder_gone_takes_nothing_from_the_one_that_came_after_it() -> None:
    back = Resume(gone=HELD, replica="stage-runner-1", epoch=4, reason="its replica was restarted")
    made = FRESH.when(CLAIM, back, RESUME)
    made.then_types(StageStarted, StageResumed)
    assert (made.state.replica, made.state.epoch) == ("stage-runner-1", 4)


def test_an_effect_is_intended_once_and_its_outcome_recorded_once() -> None:
    made = FRESH.when(CLAIM, INTEND, INTEND, SETTLE, SETTLE, INTEND)
    made.then_types(StageStarted, EffectIntended, EffectSettled)
    assert (made.state.intended, made.state.settled) == ({}, {"push:r": "c"})


def test_an_effect_that_was_never_intended_has_no_outcome() -> None:
    FRESH.when(CLAIM, SETTLE).then_types(StageStarted)


def test_an_effect_can_be_taken_back_after_it_was_done() -> None:
    reverted = SettleEffect(effect="push:r", outcome="reverted", reference="closed")
    made = FRESH.when(CLAIM, INTEND, SETTLE, reverted)
    made.then_types(StageStarted, EffectIntended, EffectSettled, EffectSettled)
    assert made.state.settled == {"push:r": "closed"}


def test_an_effect_without_outcome_survives_a_change_of_holder() -> None:
    made = FRESH.when(CLAIM, INTEND, RESUME)
    assert list(made.state.intended) == ["push:r"]


commands = st.sampled_from([CLAIM, RESUME, INTEND, SETTLE, COMPLETE, FAIL, STOP, GONE])


@settings(max_examples=60, deadline=None)
@given(st.lists(commands, max_size=12))
def test_whatever_is_asked_it_starts_and_ends_at_most_once(wishes: list[Any]) -> None:
    events = FRESH.when(*wishes).events
    starts = [place for place, event in enumerate(events) if isinstance(event, StageStarted)]
    ends = [place for place, event in enumerate(events) if getattr(event, "ends", False)]
    assert len(starts) <= 1
    assert len(ends) <= 1
    assert not ends or ends[0] == len(events) - 1
    assert not starts or starts[0] == 0


HOG = Exceeded(resource="memory", setting="budget.memory_mb", limit=100, peak=100.4, command="pytest")
MOST = Warn(setting="budget.stage_wall_s", limit_s=100, elapsed_s=80)


@pytest.mark.parametrize("end", ["completes", "fails"])
def test_limits_that_were_reached_are_told_before_the_end(end: str) -> None:
    failed = Fail(failure=FAILURE, output=StageOutput(), evidence=(), duration_s=1.0, exceeded=(HOG,))
    done = msgspec.structs.replace(COMPLETE, exceeded=(HOG,))
    state = run.initial
    for event in run.decide(CLAIM, state):
        state = run.evolve(state, event)
    first, second = run.decide(done if end == "completes" else failed, state)
    assert isinstance(first, ResourceExceeded)
    assert (first.resource, first.setting, first.limit, first.peak) == (
        "memory",
        "budget.memory_mb",
        100,
        100.4,
    )
    assert isinstance(second, StageCompleted | StageFailed)


def test_most_of_the_time_is_told_of_once_also_by_a_successor() -> None:
    state = run.initial
    told = []
    for wish in (CLAIM, MOST, RESUME, MOST, COMPLETE, MOST):
        for event in run.decide(wish, state):
            state = run.evolve(state, event)
            told.append(event)
    assert [type(event) for event in told] == [StageStarted, WallLimitNear, StageResumed, StageCompleted]
