"""Tokens through the real services: granted per attempt, topped up in flight, settled, waited for, never overspent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.budget import HOUR
from contracts.task import Budget, TaskBudgetChanged
from libs.testing.spending import (
    calls_stay_within_grants,
    grants_are_settled,
    simulated_tokens_are_apart,
    tokens_stay_within_budget,
)
from libs.testing.world import World
from services.scheduler.domain.admission import PauseQueue, ResumeQueue
from services.scheduler.domain.budget import ChangeCeiling, budget
from services.scheduler.domain.commands import Cancel, ChangeBudget, Retry
from services.scheduler.domain.ledger import Ledger
from services.scheduler.handlers.wishes import change_ceiling, operate
from tests.system.conftest import Make
from tests.system.walking import (
    CORE,
    end,
    facts_of,
    restart,
    sound,
    stages,
    state_of,
    submit,
    tell,
    wait_out,
)


@pytest.fixture
async def world(make: Make) -> World:
    """The four services that carry a task."""
    return await make(CORE)


async def ceiling(world: World, tokens: int | None, scope: str = HOUR) -> None:
    """Change a ceiling of simulated work as the API does."""

    async def act(work: Any) -> None:
        wish = ChangeCeiling(ledger="synthetic", now=work.now, scope=scope, tokens=tokens, actor="ann")
        await change_ceiling(work, wish)

    await world.perform("scheduler", act)


async def ledger(world: World, name: str = "synthetic") -> Ledger:
    """Look at a ledger as the scheduler sees it."""
    found: Ledger = await world.perform("scheduler", lambda work: work.load(budget, name))
    return found


async def test_a_stage_spends_within_its_grant_and_the_rest_is_free_again(world: World) -> None:
    await submit(world, "t1", body="spend implement 300 2 250")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    (settled,) = facts_of(events, "t1", "grant_settled")
    assert (settled.stage, settled.reserved, settled.spent) == ("implement", 1_000, 500)
    present = await ledger(world)
    assert present.account(HOUR).used(world.clock.now()) == 500
    assert not present.grants


async def test_a_task_that_spends_nothing_has_no_entry_anywhere(world: World) -> None:
    await submit(world, "t1")
    await world.settle()
    assert not [event for event in await sound(world) if event.stream.startswith("budget-")]


async def test_simulated_spending_never_enters_the_real_ledger(world: World) -> None:
    await submit(world, "t1", body="spend plan 700")
    await world.settle()
    entries = [event for event in await sound(world) if event.stream.startswith("budget-")]
    assert {(event.stream, event.meta.synthetic) for event in entries} == {("budget-synthetic", True)}
    assert await ledger(world, "main") == Ledger()


async def test_a_grant_that_is_used_up_is_topped_up_in_flight(world: World) -> None:
    await submit(world, "t1", body="spend implement 800 4")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert [one.number for one in facts_of(events, "t1", "token_grant_exhausted")] == [1, 2, 3]
    assert [one.tokens for one in facts_of(events, "t1", "tokens_granted")] == [1_000, 1_000, 1_000]
    (settled,) = facts_of(events, "t1", "grant_settled")
    assert (settled.reserved, settled.spent) == (4_000, 3_200)
    assert [one for one in stages(events) if one.startswith("implement")] == ["implement 1"]


async def test_a_grant_is_sized_by_what_the_last_attempts_spent(world: World) -> None:
    for number in range(6):
        await submit(world, f"t{number}", body="spend implement 3200")
        await world.settle()
    events = await sound(world)
    reserved = [one.tokens for one in (event.event for event in events) if hasattr(one, "before")]
    assert reserved == [1_000] * 5 + [3_200]
    assert not facts_of(events, "t5", "token_grant_exhausted")


async def test_what_the_task_may_not_spend_parks_it_for_a_person(world: World) -> None:
    await submit(world, "t1", body="spend implement 900 3", budget={"tokens": 2_000})
    await world.settle()
    state = await state_of(world, "t1")
    assert (state.phase, state.parked, state.waits_on) == ("parked", "tokens", "operator")
    assert state.waits_for == "autopilot budget t1 TOKENS"
    events = await sound(world)
    assert not facts_of(events, "t1", "resolution_awaited", "task_given_up")
    assert sum(one.spent for one in facts_of(events, "t1", "grant_settled")) == 1_800
    # The whole attempt is made again: 900 are not enough for what is left of it, and no time helps.
    await tell(world, "t1", ChangeBudget(tokens=6_000, actor="ann"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert facts_of(events, "t1", "task_budget_changed") == [
        TaskBudgetChanged(task_id="t1", tokens=6_000, actor="ann")
    ]
    assert sum(one.spent for one in facts_of(events, "t1", "grant_settled")) == 4_500


async def test_what_a_task_has_spent_is_known_however_long_it_waits(world: World) -> None:
    # Of 1,000 tokens for spec it spends 100; implement needs more than are left, and others spend meanwhile.
    await submit(world, "t1", body="spend spec 100\nspend implement 3000", budget={"tokens": 2_000})
    await world.settle()
    assert (await state_of(world, "t1")).parked == "tokens"
    await world.pass_time(2 * 3_600)
    await submit(world, "t2", body="spend implement 1000")
    await world.settle()
    await tell(world, "t1", ChangeBudget(tokens=3_100, actor="ann"))
    await world.settle()
    assert end(await sound(world)) == "task_done"
    # Of those that have ended nothing is kept for longer than an hour.
    assert set((await ledger(world)).tasks) == {"t1", "t2"}
    await world.pass_time(2 * 3_600)
    await submit(world, "t3", body="spend implement 1000")
    await world.settle()
    assert set((await ledger(world)).tasks) == {"t3"}


async def test_a_budget_that_is_used_up_stays_so_after_a_retry(world: World) -> None:
    await submit(world, "t1", body="spend implement 900 3", budget={"tokens": 2_000})
    await world.settle()
    await tell(world, "t1", Retry(actor="ann"))
    await world.settle()
    assert (await state_of(world, "t1")).parked == "tokens"
    await sound(world)


async def test_a_changed_budget_wakes_only_who_waits_for_it(world: World) -> None:
    await submit(world, "t1", body="spend implement 900 3", budget={"tokens": 2_000})
    await world.settle()
    assert (await state_of(world, "t1")).parked == "tokens"
    await tell(world, "t1", Cancel(actor="ann", reason=""))
    await tell(world, "t1", ChangeBudget(tokens=6_000, actor="ann"))
    await world.settle()
    assert (await state_of(world, "t1")).phase == "cancelled"
    await tell(world, "t1", Retry(actor="ann"))
    assert (await state_of(world, "t1")).phase == "running"
    await tell(world, "t1", ChangeBudget(tokens=7_000, actor="ann"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert not facts_of(events, "t1", "task_unparked")


async def test_when_the_hour_is_used_up_tasks_park_until_the_window_frees_and_never_fail(
    world: World,
) -> None:
    await ceiling(world, 2_000)
    for number in range(4):
        await submit(world, f"t{number}", body="spend implement 1000")
        await world.settle()
    present = [await state_of(world, f"t{number}") for number in range(4)]
    assert [one.phase for one in present] == ["done", "done", "parked", "parked"]
    assert {one.parked for one in present[2:]} == {"tokens"}
    events = await sound(world)
    assert {one.percent for one in (event.event for event in events) if hasattr(one, "percent")} == {80, 100}
    await world.pass_time(59 * 60)
    assert (await state_of(world, "t2")).phase == "parked"
    await world.pass_time(2 * 60)
    assert [(await state_of(world, f"t{number}")).phase for number in (2, 3)] == ["done", "done"]
    events = await sound(world)
    assert not [event for event in events if event.type in ("stage_failed", "task_given_up")]


async def test_a_task_starts_only_if_its_first_grant_fits(world: World) -> None:
    await ceiling(world, 1_000)
    await submit(world, "t1", body="spend spec 1000")
    await world.settle()
    await submit(world, "t2", body="spend spec 1000")
    await submit(world, "t3")
    await world.settle()
    events = await sound(world)
    assert not facts_of(events, "t2", "task_admitted", "stage_requested")
    assert (await state_of(world, "t2")).parked == "tokens"
    assert end(events, "t3") == "task_done"
    await wait_out(world)
    await world.pass_time(61 * 60)
    assert end(await sound(world), "t2") == "task_done"


async def test_who_waits_is_called_when_tokens_are_returned_before_their_time(world: World) -> None:
    await ceiling(world, 1_500)
    await submit(world, "t1", body="spend implement 1000 1 100")
    await submit(world, "t2", body="spend implement 1000 1 100")
    await world.settle()
    events = await sound(world)
    assert facts_of(events, "t2", "grant_deferred", "grant_called")
    assert [end(events, task) for task in ("t1", "t2")] == ["task_done", "task_done"]


async def test_a_raised_ceiling_lets_those_go_on_who_wait(world: World) -> None:
    await ceiling(world, 1_000)
    for number in range(3):
        await submit(world, f"t{number}", body="spend implement 1000")
    await world.settle()
    assert sorted([(await state_of(world, f"t{number}")).phase for number in range(3)]) == [
        "done",
        "parked",
        "parked",
    ]
    await ceiling(world, 3_000)
    await world.settle()
    assert [(await state_of(world, f"t{number}")).phase for number in range(3)] == ["done"] * 3
    await sound(world)


async def test_who_gets_no_slot_in_time_leaves_its_tokens_to_those_behind(world: World) -> None:
    await ceiling(world, 1_000)
    for number, queue in enumerate(("default", "slow", "default")):
        await submit(world, f"t{number}", body="spend implement 1000", queue=queue)
        await world.settle()
    await world.perform("scheduler", lambda work: operate(work, PauseQueue(queue="slow", actor="ann")))
    await world.pass_time(62 * 60)
    assert [(await state_of(world, f"t{number}")).phase for number in (1, 2)] == ["queued", "parked"]
    # Nothing else happens: it is the end of its time that lets the other go on.
    await world.pass_time(5 * 60)
    assert [(await state_of(world, f"t{number}")).phase for number in (1, 2)] == ["queued", "done"]
    await world.perform("scheduler", lambda work: operate(work, ResumeQueue(queue="slow", actor="ann")))
    await world.pass_time(62 * 60)
    assert end(await sound(world), "t1") == "task_done"


async def test_a_run_that_was_cut_short_says_nothing_of_what_suffices(world: World) -> None:
    await submit(world, "t1", body="spend implement 800 2")
    while not facts_of(await world.events(), "t1", "token_grant_exhausted"):
        await world.step()
    await tell(world, "t1", Cancel(actor="ann", reason=""))
    await submit(world, "t2", body="spend implement 900 3", budget={"tokens": 2_000})
    await world.settle()
    events = await sound(world)
    ends = [one.spent for one in (event.event for event in events) if hasattr(one, "cut_short")]
    assert ends == [800, 1_800]
    assert (await ledger(world)).history == {}


async def test_nobody_waits_behind_a_cancelled_task(world: World) -> None:
    await ceiling(world, 1_500)
    await submit(world, "t1", body="spend implement 1000")
    await world.settle()
    await submit(world, "t2", body="spend implement 500", budget={"tokens": 2_000})
    await world.settle()
    assert (await state_of(world, "t2")).parked == "tokens"
    await tell(world, "t2", Cancel(actor="ann", reason=""))
    await world.settle()
    assert not (await ledger(world)).deferred
    await sound(world)


async def test_a_run_that_waits_for_tokens_survives_both_crashes_and_repeats_no_settled_call(
    world: World,
) -> None:
    await submit(world, "t1", body="spend implement 800 3 700")
    while not facts_of(await world.events(), "t1", "token_grant_exhausted"):
        await world.step()
    await world.crash("scheduler")
    await restart(world, "stage-runner")
    await world.settle()
    events = await world.events()
    assert len(facts_of(events, "t1", "stage_resumed")) == 1
    assert not facts_of(events, "t1", "tokens_granted")
    await world.start("scheduler")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert [one.call for one in facts_of(events, "t1", "call_reserved")] == ["1", "2", "3"]
    # Asked again only for what the first answer left open, not because of the crash.
    assert [one.number for one in facts_of(events, "t1", "token_grant_exhausted")] == [1, 2]
    (settled,) = facts_of(events, "t1", "grant_settled")
    assert settled.spent == 2_100


async def test_a_run_that_is_stopped_while_it_waits_gives_its_grant_back(world: World) -> None:
    await submit(world, "t1", body="spend implement 800 2")
    while not facts_of(await world.events(), "t1", "token_grant_exhausted"):
        await world.step()
    await tell(world, "t1", Cancel(actor="ann", reason=""))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_cancelled"
    (settled,) = facts_of(events, "t1", "grant_settled")
    assert settled.spent == 800
    assert not (await ledger(world)).grants


async def test_a_queue_that_waits_for_tokens_is_parked_in_pieces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.scheduler.handlers.settling.PARKED_AT_ONCE", 3)
    await ceiling(world, 1_000)
    await submit(world, "t0", body="spend implement 1000")
    await world.settle()
    for number in range(1, 12):
        await submit(world, f"t{number}", body="spend spec 1000")
    await world.settle()
    events = await sound(world)
    assert {end(events, f"t{number}") for number in range(1, 12)} == {"task_parked"}


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("grant_reserved", {"tokens": 100_001}),
        ("grant_settled", {"spent": 1}),
        ("grant_settled", {"reserved": 9}),
        ("call_reserved", {"tokens": 9_999}),
        ("call_settled", {"tokens": 801}),
        ("task_submitted", {}),
        ("stage_completed", {"tokens_spent": 1}),
    ],
)
async def test_the_invariants_see_every_planted_breach(
    world: World, type_: str, values: dict[str, Any]
) -> None:
    await submit(world, "t1", body="spend implement 800 2 700")
    await world.settle()
    events = await sound(world)
    place = next(place for place, event in enumerate(events) if event.type == type_)
    fact = msgspec.structs.replace(events[place].event, **values)
    if type_ == "task_submitted":
        fact = msgspec.structs.replace(
            fact, spec=msgspec.structs.replace(fact.spec, budget=Budget(tokens=1_999))
        )
    events[place] = msgspec.structs.replace(events[place], event=fact)
    assert [*tokens_stay_within_budget(events), *calls_stay_within_grants(events)]


async def test_a_grant_that_is_in_no_ledger_is_seen(world: World) -> None:
    await submit(world, "t1", body="spend implement 800")
    await world.settle()
    events = await sound(world)
    assert list(calls_stay_within_grants([one for one in events if not one.stream.startswith("budget-")]))


async def test_a_grant_that_is_never_settled_is_seen(world: World) -> None:
    await submit(world, "t1", body="spend implement 800")
    await world.settle()
    events = await sound(world)
    assert not list(grants_are_settled(events))
    assert list(grants_are_settled([event for event in events if event.type != "grant_settled"]))


async def test_what_is_in_the_wrong_ledger_is_seen(world: World) -> None:
    await submit(world, "t1", body="spend implement 800")
    await world.settle()
    events = [
        msgspec.structs.replace(event, stream="budget-main") if event.type == "grant_reserved" else event
        for event in await sound(world)
    ]
    assert list(simulated_tokens_are_apart(events))
