"""A simulated task's life through all seven services."""

from __future__ import annotations

import pytest

from contracts.message import category_of
from libs.testing.invariants import TASK_CATEGORIES, strangers
from libs.testing.world import World
from services.scheduler.domain.commands import Retry
from tests.system.walking import (
    end,
    facts_of,
    sound,
    spec,
    stages,
    state_of,
    submit,
    tell,
    verdicts,
    wait_out,
)


async def test_a_task_that_goes_well_passes_every_stage_and_every_gate(world: World) -> None:
    await submit(world, "t1")
    await world.settle()
    events = await sound(world)
    assert stages(events) == [
        f"{stage} 1" for stage in ("spec", "plan", "implement", "verify", "review", "pr", "monitor")
    ]
    assert verdicts(events) == {gate: ["approve"] for gate in range(6)}
    assert [skipped.stage for skipped in facts_of(events, "t1", "stage_skipped")] == ["think"]
    assert end(events) == "task_done"
    assert facts_of(events, "t1", "slot_released", "dependency_met")


async def test_what_happens_is_told_in_this_order(world: World) -> None:
    await submit(world, "t1")
    await world.settle()
    told = [event.type for event in await world.events() if event.stream == "task-t1"]
    run = ["stage_requested"]
    assert told == [
        *("task_submitted", "task_admitted"),
        *run,
        *run,
        *("gate_requested", "gate_answered", "stage_skipped"),
        *run,
        *run,
        *["gate_requested"] * 3,
        *["gate_answered"] * 3,
        *run,
        *["gate_requested"] * 2,
        *["gate_answered"] * 2,
        *run,
        *run,
        "task_done",
    ]


async def test_the_bus_holds_exactly_what_the_record_holds(world: World) -> None:
    await submit(world, "t1", body="fail verify 1")
    await world.settle()
    events = await world.events()
    ids = [message.headers["Nats-Msg-Id"] for message in world.server.messages]
    assert list(strangers(events, ids)) == []
    assert sorted(ids) == sorted(event.id for event in events)


async def test_simulated_work_is_marked_in_every_event_of_every_stream_of_its_task(world: World) -> None:
    await submit(world, "t1", body="fail verify 9")
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    of_task = [event for event in events if category_of(event.stream) in TASK_CATEGORIES]
    assert {category_of(event.stream) for event in of_task} == {"task", "run", "review", "loop", "incident"}
    assert all(event.meta.synthetic for event in of_task)


async def test_a_failed_verify_leads_through_a_plan_delta_to_a_second_attempt(world: World) -> None:
    await submit(world, "t1", body="fail verify 1")
    await world.settle()
    events = await sound(world)
    assert stages(events)[3:] == [
        *("verify 1", "plan 2", "think 1", "implement 2", "verify 2", "review 1", "pr 1", "monitor 1")
    ]
    (delta,) = facts_of(events, "t1", "plan_delta_recorded")
    assert delta.delta.answers == ("simulated",)
    assert [closed.loop for closed in facts_of(events, "t1", "loop_closed")] == [1]
    assert end(events) == "task_done"


@pytest.mark.parametrize("stage", ["spec", "plan", "implement", "verify", "review", "pr", "monitor"])
async def test_every_stage_may_fail_once(world: World, stage: str) -> None:
    await submit(world, "t1", body=f"fail {stage} 1")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert len(facts_of(events, "t1", "loop_opened")) == len(facts_of(events, "t1", "loop_closed")) == 1


async def test_three_failed_loops_are_an_incident_that_names_the_failure(world: World) -> None:
    await submit(world, "t1", body="fail verify 9")
    await world.settle()
    events = await sound(world)
    assert [one for one in stages(events) if one.startswith("verify")] == [
        f"verify {n}" for n in (1, 2, 3, 4)
    ]
    assert len(facts_of(events, "t1", "plan_delta_recorded")) == 3
    (given_up,) = facts_of(events, "t1", "task_given_up")
    assert given_up.incident_id == "t1-1"
    assert "fails as the task asks (3 loops have failed)" in given_up.reason
    assert facts_of(events, "t1", "task_done") == []


async def test_a_person_may_grant_another_allowance_after_an_incident(world: World) -> None:
    await submit(world, "t1", body="fail verify 5")
    await world.settle()
    assert end(await world.events()) == "task_given_up"
    await tell(world, "t1", Retry(actor="somebody"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    # Numbering goes on where it was.
    assert "verify 5" in stages(events)
    assert "verify 6" in stages(events)
    assert len(facts_of(events, "t1", "task_given_up")) == 1


async def test_a_sixth_attempt_of_any_stage_is_an_infinite_loop(world: World) -> None:
    # Every failure is overcome, so that no three loops in a row fail; yet the plan is made again and again.
    await submit(world, "t1", body="fail verify 2\nfail review 2\nfail pr 2")
    await world.settle()
    events = await sound(world)
    (found,) = facts_of(events, "t1", "infinite_loop_detected")
    assert (found.stage, found.attempts) == ("plan", 5)
    assert end(events) == "task_given_up"
    assert facts_of(events, "t1", "alert_raised") == []  # simulated work wakes nobody


async def test_two_tasks_do_not_disturb_each_other(world: World) -> None:
    await submit(world, "t1", spec(body="fail verify 9"))
    await submit(world, "t2")
    await world.settle()
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_given_up", "task_done")
    assert (await state_of(world, "t2")).attempts["verify"] == 1
