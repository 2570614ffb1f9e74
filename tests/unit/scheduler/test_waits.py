"""Why a task does not run yet: every cause by name, and an estimate only where there is a basis for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.admission import HELD, HoldCause
from contracts.task import TaskParked
from services.scheduler.domain.admission import Enqueue, Grant, Hold, Leave, Limit, PauseQueue, admission
from services.scheduler.domain.backlog import CEILING, BacklogFullError, require_room
from services.scheduler.domain.commands import Start
from services.scheduler.domain.pace import Pace
from services.scheduler.domain.pool import Admission, Forecast
from services.scheduler.domain.state import Task
from services.scheduler.domain.waits import PARKED, estimate, told, waits
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts
from tests.unit.scheduler.facts import NOW

PACE = Pace(every_s=6.4, over=50)


def pool_of(*wishes: Any) -> Admission:
    state = Admission()
    for wish in wishes:
        state = admission.fold(list(admission.decide(wish, state)), state)
    return state


def enqueue(task_id: str, queue: str = "default", needs: tuple[str, ...] = ()) -> Enqueue:
    return Enqueue(task_id=task_id, priority="normal", queue=queue, depends_on=needs)


def tasks(**values: Any) -> Task:
    return task.fold(list(task.decide(facts.submit(**values), Task())))


QUEUED = tasks()
ONE_RUNS = (Limit(max_concurrent=1, actor="ann"), enqueue("t0"), Grant())


def test_a_task_whose_turn_has_not_come_is_told_how_many_are_before_it_and_how_long_that_takes() -> None:
    pool = pool_of(*ONE_RUNS, *(enqueue(f"o{number}") for number in range(37)), enqueue("t1"))
    known, ahead = waits(QUEUED, pool), pool.forecast("t1")
    expected = estimate(known, pool, ahead, PACE)
    assert [wait.kind for wait in known] == ["slot"]
    assert expected.seconds == pytest.approx(38 * 6.4)
    assert told(known, ahead, expected) == (
        "1 of 1 slots are taken; about 4 min: 37 starts ahead, a slot has come free every 6.4 s over the last 50"
    )


def test_without_a_basis_there_is_no_estimate_and_it_says_so() -> None:
    pool = pool_of(*ONE_RUNS, enqueue("t1"))
    known, ahead = waits(QUEUED, pool), pool.forecast("t1")
    expected = estimate(known, pool, ahead, None)
    assert expected.seconds is None
    assert told(known, ahead, expected).startswith(
        "1 of 1 slots are taken; 0 starts ahead; no estimate: fewer than 5"
    )


def test_a_bound_is_told_as_a_bound() -> None:
    pool = pool_of(*ONE_RUNS, enqueue("t1"))
    expected = estimate(waits(QUEUED, pool), pool, Forecast(ahead=400, exact=False), PACE)
    assert expected.basis.startswith("at most 400 starts ahead")


def test_slots_beyond_a_lowered_limit_are_not_given_on() -> None:
    pool = pool_of(
        *(enqueue(f"o{number}") for number in range(4)),
        Grant(),
        enqueue("t1"),
        Limit(max_concurrent=2, actor="ann"),
    )
    expected = estimate(waits(QUEUED, pool), pool, pool.forecast("t1"), PACE)
    assert expected.seconds == pytest.approx(3 * 6.4)


def test_all_that_has_to_happen_is_named_and_by_whom() -> None:
    pool = pool_of(
        enqueue("t1", needs=("t0", "t9")),
        PauseQueue(queue="default", actor="ann", reason="release day"),
        Hold(cause="drain", actor="bob"),
        Hold(cause="host_memory", detail="90 MB are available"),
    )
    running = task.fold(list(task.decide(Start(), QUEUED)), QUEUED)
    known = waits(QUEUED, pool, {"t0": running})
    assert [(wait.kind, wait.on) for wait in known] == [
        ("dependency", ("t0", "t9")),
        ("queue", ("default",)),
        ("hold", ("drain",)),
        ("hold", ("host_memory",)),
    ]
    assert [wait.detail for wait in known] == [
        "waits for t0 (running at spec), t9",
        "queue default is paused by ann (release day)",
        "no slot is given: the scheduler is draining, by bob",
        "no slot is given: the host is short of memory (90 MB are available)",
    ]
    assert estimate(known, pool, pool.forecast("t1"), PACE).seconds is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("backing_off", "time"),
        ("rate_limited", "time"),
        ("tokens", "tokens"),
        ("files_overlap", "files"),
        ("mode", "mode"),
        ("emergency_stop", "mode"),
        ("no_quorum", "person"),
        ("dependency_broken", "person"),
        ("memory_ceiling", "person"),
    ],
)
def test_a_parked_task_waits_for_what_it_was_parked_for(code: Any, kind: str) -> None:
    until = NOW + timedelta(minutes=7)
    parked = TaskParked(task_id="t1", code=code, reason="why", owner="who", wake_up="what", until=until)
    state = task.fold([parked], QUEUED)
    # One that lost what it depends on keeps its place in the pool.
    known = waits(state, pool_of(enqueue("t1")))
    assert [(wait.kind, wait.until) for wait in known] == [(kind, until)]
    expected = estimate(known, Admission(), None, PACE)
    assert told(known, None, expected) == (
        "why; goes on with: what; until 2026-01-01 00:07:00 UTC; no estimate: it is queued again then"
    )


def test_every_reason_to_wait_that_can_be_recorded_is_told_as_something() -> None:
    codes = get_args(get_type_hints(TaskParked)["code"])
    assert (set(PARKED), set(HELD)) == (set(codes), set(get_args(HoldCause)))


def test_what_runs_or_has_ended_waits_for_nothing() -> None:
    running = task.fold(list(task.decide(Start(), QUEUED)), QUEUED)
    done = msgspec.structs.replace(running, phase="done")
    assert waits(running, pool_of(*ONE_RUNS)) == waits(done, pool_of(enqueue("t1"))) == ()
    assert told((), None, None) == ""


@given(
    st.lists(st.sampled_from(["enqueue", "grant", "leave", "pause", "hold"]), max_size=30),
    st.integers(1, 3),
)
def test_whoever_waits_in_the_pool_is_told_why(steps: list[str], limit: int) -> None:
    pool = pool_of(Limit(max_concurrent=limit, actor="ann"))
    for number, step in enumerate(steps):
        wish: Any
        match step:
            case "enqueue":
                wish = enqueue(f"o{number}", queue="ab"[number % 2])
            case "grant":
                wish = Grant()
            case "leave":
                wish = Leave(task_id=next(iter(pool.running), ""), reason="done")
            case "pause":
                wish = PauseQueue(queue="a", actor="ann")
            case _:
                wish = Hold(cause="drain")
        pool = admission.fold(list(admission.decide(wish, pool)), pool)
    for entry in pool.waiting.plain().values():
        known = waits(msgspec.structs.replace(QUEUED, task_id=entry.task_id), pool)
        assert known
        startable = pool.forecast(entry.task_id) is not None and not pool.holds
        assert startable == (known[0].kind == "slot")


def test_the_backlog_takes_what_fits_as_a_whole_and_more_only_for_those_who_want_it() -> None:
    specs = [facts.spec()] * 3
    pool = msgspec.structs.replace(pool_of(enqueue("a"), enqueue("b")), max_queued=5)
    require_room(pool, specs, anyway=False)
    with pytest.raises(BacklogFullError) as refused:
        require_room(pool, [*specs, facts.spec()], anyway=False)
    assert (refused.value.surplus, refused.value.never) == (1, False)
    require_room(pool, [*specs, facts.spec()], anyway=True)
    with pytest.raises(BacklogFullError):
        require_room(pool, [facts.spec()] * (CEILING - 1), anyway=True)
    with pytest.raises(BacklogFullError) as larger:
        require_room(pool, [facts.spec()] * 6, anyway=False)
    assert larger.value.never
    assert str(refused.value) == "2 tasks wait, and at most 5 may"


def test_a_backlog_that_was_set_higher_than_the_ceiling_counts() -> None:
    pool = msgspec.structs.replace(Admission(), max_queued=CEILING + 1)
    require_room(pool, [facts.spec()] * (CEILING + 1), anyway=True)
    with pytest.raises(BacklogFullError):
        require_room(pool, [facts.spec()] * (CEILING + 2), anyway=True)
