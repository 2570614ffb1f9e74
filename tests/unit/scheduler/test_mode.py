"""Modes: what each allows, and that nobody who was set aside is forgotten or called twice."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.mode import AsideEvent, Mode, SetAside, TasksCalledBack
from contracts.task import RiskClass, Specification, Stage, StageInput
from services.scheduler.domain import mode as modes
from services.scheduler.domain.aside import LOT, Aside, AsideCommand, CallBack, NoteAside, aside
from services.scheduler.domain.commands import Unpark
from services.scheduler.domain.mode import admits, awaits, set_aside
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts

MODES: tuple[Mode, ...] = get_args(Mode)
COMMANDS = st.one_of(
    st.builds(
        NoteAside, task_id=st.integers(0, 99).map("t{}".format), code=st.sampled_from(get_args(SetAside))
    ),
    st.builds(CallBack, mode=st.sampled_from(MODES)),
)


def tell(state: Aside, wish: AsideCommand) -> tuple[Aside, list[AsideEvent]]:
    events = list(aside.decide(wish, state))
    return aside.fold(events, state), events


@given(st.lists(COMMANDS, max_size=40))
def test_whoever_was_set_aside_is_called_back_once_in_order_and_not_before_the_mode_allows(
    wishes: list[AsideCommand],
) -> None:
    state = Aside()
    waiting: dict[SetAside, list[str]] = {"emergency_stop": [], "mode": []}
    for wish in [*wishes, *[CallBack(mode="normal")] * 2]:
        state, events = tell(state, wish)
        if isinstance(wish, NoteAside):
            waiting[wish.code].append(wish.task_id)
        for event in events:
            if isinstance(event, TasksCalledBack):
                assert isinstance(wish, CallBack)
                assert not awaits(event.code, wish.mode)
                called = list(event.task_ids)
                assert waiting[event.code][: len(called)] == called
                del waiting[event.code][: len(called)]
        assert state.waiting == sum(map(len, waiting.values()))
    assert state.waiting == 0


def test_one_more_who_waits_costs_the_same_however_many_do() -> None:
    state = Aside()
    for number in range(3 * LOT):
        state, _ = tell(state, NoteAside(task_id=f"t{number}", code="mode"))
    assert [len(lot) for lot in state.lots["mode"]] == [LOT, LOT, LOT]


def known(risk: RiskClass | None) -> StageInput:
    specification = None if risk is None else Specification(acceptance=(), risk=risk)
    return StageInput(spec=facts.spec(), specification=specification)


@pytest.mark.parametrize("stage", get_args(Stage))
@pytest.mark.parametrize("risk", [None, *get_args(RiskClass)])
def test_who_may_go_on_in_which_mode(stage: Stage, risk: RiskClass | None) -> None:
    assert set_aside("normal", stage, known(risk)) is None
    assert set_aside("read-only", stage, known(risk)) is None
    stopped = set_aside("emergency-stop", stage, known(risk))
    assert stopped is not None
    assert stopped[0] == "emergency_stop"
    minimal = set_aside("minimal", stage, known(risk))
    if risk in (None, "low") or stage in ("spec", "monitor"):
        assert minimal is None
    else:
        assert minimal is not None
        assert minimal[0] == "mode"


def test_who_gets_slots_in_which_mode() -> None:
    assert [name for name in MODES if admits(name)] == ["normal", "minimal"]


@pytest.mark.parametrize("parked", ["no_quorum", "tokens", "mode"])
def test_who_waits_for_something_else_by_now_is_not_woken_by_a_mode(parked: str) -> None:
    state = Task(task_id="t1", phase="parked", parked=parked)
    woken = list(task.decide(Unpark(reason="mode is normal", codes=("mode",)), state))
    assert bool(woken) is (parked == "mode")


def test_modes_differ_in_what_is_left_out() -> None:
    assert {name: modes.left_out(name) for name in MODES if modes.left_out(name)} == {
        "minimal": ("think", "review")
    }
