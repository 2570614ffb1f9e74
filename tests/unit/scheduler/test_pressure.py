"""When admission is held for want of memory, and when a standstill is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.stall import AdmissionFlows, AdmissionStalled
from services.scheduler.domain.admission import (
    POOL,
    Admission,
    Enqueue,
    Grant,
    Hold,
    Release,
    admission,
)
from services.scheduler.domain.mode import ModeState
from services.scheduler.domain.pressure import Room, judged
from services.scheduler.domain.stall import Look, Stall, is_stalled, reason_of, stall


def room(available: int, total: int = 16_000) -> Room:
    return Room(total_mb=total, available_mb=available, reserve_mb=400, task_mb=100)


def pool(*wishes: object) -> Admission:
    state = admission.initial
    for wish in wishes:
        for event in admission.decide(wish, state):
            state = admission.evolve(state, event)
    return state


def waiting(task_id: str = "t1") -> Enqueue:
    return Enqueue(task_id=task_id, priority="normal", queue="default")


def test_admission_is_refused_when_memory_is_short() -> None:
    """F9: five agents on 16 GB; each was started because nobody looked at what was left."""
    wish = judged(room(499), held=False)
    assert isinstance(wish, Hold)
    assert wish.detail == (
        "499 MB of the machine's memory are available, 500 MB are needed: 100 for a task and 400 in reserve"
    )
    held = pool(wish, waiting(), Grant())
    assert (held.running, reason_of(held)) == ((), wish.detail)
    assert pool(wish, waiting(), Release(cause="host_memory", actor=""), Grant()).running == ("t1",)


def test_enough_is_enough() -> None:
    assert judged(room(500), held=False) is None


def test_it_goes_on_with_a_margin() -> None:
    assert judged(room(624), held=True) is None
    assert isinstance(judged(room(625), held=True), Release)


def test_the_margin_is_one_that_the_machine_can_have() -> None:
    """Else a machine that is just large enough would be held back for ever once it was short."""
    assert judged(room(549, total=600), held=True) is None
    assert isinstance(judged(room(550, total=600), held=True), Release)


def test_what_nobody_measures_holds_nobody_back() -> None:
    assert isinstance(judged(None, held=True), Release)
    assert judged(None, held=False) is None


@given(st.lists(st.integers(480, 640)))
def test_between_two_answers_lies_the_margin(available: list[int]) -> None:
    held, last = False, 0
    for now in available:
        match judged(room(now), held):
            case Hold():
                held, last = True, now
            case Release():
                assert now - last >= 125
                held = False
            case None:
                assert (now < 500) is False or held


def look(stalled: bool, lasting_s: float) -> Look:
    return Look(stalled=stalled, lasting_s=lasting_s, after_s=300, ready=3, running=0, limit=10, reason="why")


def test_a_standstill_is_told_once_when_it_lasts_and_once_when_it_is_over() -> None:
    """F10: nothing could start, and nobody was told."""
    state, told = Stall(), []
    for one in (
        look(True, 0),
        look(True, 299),
        look(True, 300),
        look(True, 900),
        look(False, 0),
        look(False, 0),
    ):
        for event in stall.decide(one, state):
            told.append(event)
            state = stall.evolve(state, event)
    assert told == [
        AdmissionStalled(lasting_s=300, ready=3, running=0, limit=10, reason="why"),
        AdmissionFlows(),
    ]


def test_it_is_a_standstill_where_slots_are_free_and_somebody_is_ready() -> None:
    memory = Hold(cause="host_memory", detail="short", actor="")
    assert is_stalled(pool(memory, waiting()), ModeState())
    assert not is_stalled(pool(memory), ModeState()), "nobody is ready"
    assert not is_stalled(pool(waiting(), Grant()), ModeState()), "nobody waits"


def test_what_a_person_has_ordered_is_no_standstill() -> None:
    drained = Hold(cause="drain", detail="", actor="ann")
    assert not is_stalled(pool(drained, waiting()), ModeState())
    assert not is_stalled(pool(waiting()), ModeState(mode="read-only"))
    assert not is_stalled(pool(waiting()), ModeState(mode="emergency-stop"))


def test_the_pool_is_the_only_one() -> None:
    assert AdmissionFlows().pool == POOL
