"""Modes and the way back: what they forbid does not happen meanwhile, nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from contracts.stage import StageOutput
from contracts.task import Failure, StageRequested
from libs.testing.invariants import breaches
from libs.testing.world import World
from services.scheduler.domain import aside
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.commands import Retry
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import (
    end,
    facts_of,
    limit,
    sound,
    stages,
    state_of,
    submit,
    switch,
    tell,
    verdicts,
)

Acted = Callable[[Script], Awaitable[World]]


class Gatekeeper:
    """Lets stages end well, but for those of one kind while it is shut."""

    def __init__(self, stage: str = "") -> None:
        self.stage = stage

    def __call__(self, request: StageRequested) -> Answer:
        return None if request.stage == self.stage else honest(request)


@pytest.mark.parametrize("stage", ["spec", "plan", "implement", "verify", "review", "pr", "monitor"])
async def test_a_running_stage_is_stopped_and_taken_up_again_as_the_same_attempt(
    acted: Acted, stage: str
) -> None:
    keeper = Gatekeeper(stage)
    world = await acted(keeper)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.settle()
    (parked,) = facts_of(await sound(world), "t1", "task_parked")
    assert (parked.reason, parked.wake_up) == ("emergency stop", "autopilot mode normal")
    keeper.stage = ""
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    requests = [event for event in facts_of(events, "t1", "stage_requested") if event.stage == stage]
    assert [(event.attempt, event.retry) for event in requests] == [(1, 0), (1, 1)]


async def test_who_waits_is_told_of_the_mode_in_force_and_not_of_the_one_before(acted: Acted) -> None:
    world = await acted(honest)
    for mode in ("emergency-stop", "read-only"):
        await switch(world, mode)
        pool = await world.perform("scheduler", lambda work: work.load(admission, POOL))
        assert pool.holds["mode"].reason == f"mode is {mode}: a test"


async def test_during_the_stop_nothing_starts(acted: Acted) -> None:
    world = await acted(honest)
    await switch(world, "emergency-stop")
    await submit(world, "t1", patch_task())
    await world.settle()
    assert facts_of(await world.events(), "t1", "stage_requested", "slot_granted") == []
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_what_a_gate_says_during_the_stop_counts_after_it(acted: Acted) -> None:
    world = await acted(honest)
    await world.crash("gate")
    await submit(world, "t1", patch_task())
    await world.settle()
    assert (await state_of(world, "t1")).phase == "gating"
    await switch(world, "emergency-stop")
    await world.start("gate")
    await world.settle()
    assert end(await sound(world)) == "task_parked"
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert verdicts(events)[0] == ["approve"]
    assert stages(events)[:3] == ["spec 1", "plan 1", "implement 1"]


async def test_a_plan_delta_that_comes_during_the_stop_is_not_lost(acted: Acted) -> None:
    def script(request: StageRequested) -> Answer:
        if request.stage == "verify" and request.input.delta is None:
            return Failure(kind="persistent", code="broken", detail="it broke")
        return honest(request)

    world = await acted(script)
    await world.crash("resolution")
    await submit(world, "t1", patch_task(engine="noop", synthetic=True, patch=None))
    await world.settle()
    assert (await state_of(world, "t1")).phase == "resolving"
    await switch(world, "emergency-stop")
    await world.start("resolution")
    await world.settle()
    assert end(await sound(world)) == "task_parked"
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert [one for one in stages(events) if one.startswith(("plan", "verify"))] == [
        *("plan 1", "verify 1", "plan 2", "verify 2")
    ]


async def test_a_retry_that_is_due_during_the_stop_is_made_after_it(acted: Acted) -> None:
    failed: list[str] = []

    def script(request: StageRequested) -> Answer:
        if request.stage == "verify" and not failed:
            failed.append(request.run_id)
            return Failure(kind="transient", code="flaky", detail="the disk was away")
        return honest(request)

    world = await acted(script)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.pass_time(60)
    assert end(await sound(world)) == "task_parked"
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_normal_again_before_the_stage_has_stopped(acted: Acted) -> None:
    keeper = Gatekeeper("implement")
    world = await acted(keeper)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    keeper.stage = ""
    await switch(world, "normal")
    assert (await state_of(world, "t1")).phase == "suspending"
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_a_stop_between_two_probes_lets_the_window_go_on(acted: Acted) -> None:
    world = await acted(honest)
    repo = {"name": "r", "url": "/somewhere/r.git", "monitor": {"window_s": 100}, "fail_to_pass": ["x"]}
    await submit(world, "t1", patch_task(synthetic=True, engine="noop", patch=None, repos=[repo]))
    await world.settle()
    await switch(world, "emergency-stop")
    await world.pass_time(500)
    assert end(await world.events()) == "monitor_wait_started"
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_stopping_many_leaves_no_slot_taken(acted: Acted) -> None:
    keeper = Gatekeeper("verify")
    world = await acted(keeper)
    for number in range(15):
        await submit(world, f"t{number}", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.settle()
    events = await world.events()
    assert breaches(events) == []
    assert len([event for event in events if event.type == "task_parked"]) == 10
    keeper.stage = ""
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert {end(events, f"t{number}") for number in range(15)} == {"task_done"}


async def test_in_mode_minimal_the_pull_request_is_an_unreviewed_draft(acted: Acted) -> None:
    seen: list[StageRequested] = []

    def script(request: StageRequested) -> Answer:
        seen.append(request)
        return honest(request)

    world = await acted(script)
    await switch(world, "minimal")
    await submit(world, "t1", patch_task())
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert set(verdicts(events)) == {0, 1, 2, 3}
    assert [(one.stage, one.reason) for one in facts_of(events, "t1", "stage_skipped")][-1] == (
        "review",
        "mode is minimal",
    )
    assert [request.input.draft for request in seen if request.stage == "pr"] == [True]


def risky(request: StageRequested) -> Answer:
    """Stages that go well; the change of task `high` is of high risk."""
    answer = honest(request)
    if request.stage != "spec" or request.task_id != "high" or answer.specification is None:
        return answer
    return StageOutput(specification=msgspec.structs.replace(answer.specification, risk="high"))


async def test_in_mode_minimal_what_is_not_of_low_risk_waits_once_that_is_known(acted: Acted) -> None:
    world = await acted(risky)
    await limit(world, 1)
    await switch(world, "minimal")
    for name in ("high", "low"):
        await submit(world, name, patch_task())
    await world.settle()
    events = await sound(world)
    assert end(events, "low") == "task_done"
    assert stages(events, "high") == ["spec 1"]
    (parked,) = facts_of(events, "high", "task_parked")
    assert (parked.code, parked.next_stage, parked.wake_up) == ("mode", "plan", "autopilot mode normal")
    assert "high" in parked.reason
    # A person's wish does not override the mode.
    await tell(world, "high", Retry(actor="ann"))
    await world.settle()
    assert end(await sound(world), "high") == "task_parked"
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events, "high") == "task_done"
    assert stages(events, "high")[:2] == ["spec 1", "plan 1"]
    assert {one.split()[1] for one in stages(events, "high")} == {"1"}


async def test_in_mode_minimal_nobody_thinks(acted: Acted) -> None:
    world = await acted(honest)
    await switch(world, "minimal")
    await submit(world, "t1", patch_task(priority="urgent"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    assert [(one.stage, one.reason) for one in facts_of(events, "t1", "stage_skipped")] == [
        ("think", "mode is minimal"),
        ("review", "mode is minimal"),
    ]


async def test_a_change_that_has_its_pull_request_is_watched_in_mode_minimal(acted: Acted) -> None:
    world = await acted(risky)
    repo = {"name": "r", "url": "/somewhere/r.git", "monitor": {"window_s": 100}, "fail_to_pass": ["x"]}
    await submit(world, "high", patch_task(synthetic=True, engine="noop", patch=None, repos=[repo]))
    await world.settle()
    await switch(world, "minimal")
    for _ in range(20):
        await world.pass_time(10)
    assert end(await sound(world), "high") == "task_done"


async def test_in_mode_read_only_what_runs_is_finished_and_nothing_starts(acted: Acted) -> None:
    keeper = Gatekeeper("verify")
    world = await acted(keeper)
    await limit(world, 1)
    for name in ("t1", "t2"):
        await submit(world, name, patch_task())
    await world.settle()
    await switch(world, "read-only")
    keeper.stage = ""
    await submit(world, "t3", patch_task())
    await world.pass_time(60)
    events = await sound(world)
    assert end(events) == "task_done"
    assert [facts_of(events, name, "slot_granted", "task_parked") for name in ("t2", "t3")] == [[], []]
    (held,) = [one.event for one in events if one.type == "admission_held"]
    assert (held.cause, held.detail, held.actor) == ("mode", "mode is read-only: a test", "operator")
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    # They have kept their places.
    granted = [one.event.task_id for one in events if one.type == "slot_granted"]
    assert granted == ["t1", "t2", "t3"]
    assert end(events, "t3") == "task_done"


async def test_in_mode_read_only_a_wait_that_is_over_starts_nothing(acted: Acted) -> None:
    failed: list[str] = []

    def script(request: StageRequested) -> Answer:
        if request.stage == "verify" and not failed:
            failed.append(request.run_id)
            return Failure(kind="transient", code="limit", detail="too many requests", retry_after_s=60)
        return honest(request)

    world = await acted(script)
    await submit(world, "t1", patch_task())
    await world.settle()
    await switch(world, "read-only")
    await world.pass_time(100)
    assert (await state_of(world, "t1")).phase == "queued"
    assert stages(await sound(world))[-1] == "verify 1"
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_done"


async def test_those_who_waited_go_on_lot_by_lot_and_nobody_else_does(
    acted: Acted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "LOT", 3)
    keeper = Gatekeeper("verify")
    world = await acted(keeper)
    for number in range(10):
        await submit(world, f"t{number}", patch_task())
    await world.settle()
    await switch(world, "emergency-stop")
    await world.settle()
    await tell(world, "t0", Retry(actor="ann"))
    keeper.stage = ""
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert {end(events, f"t{number}") for number in range(10)} == {"task_done"}
    lots = [one.event.task_ids for one in events if one.type == "tasks_called_back"]
    assert [len(lot) for lot in lots] == [3, 3, 3, 1]
    woken = [one.event.reason for one in events if one.type == "task_unparked"]
    assert sorted(woken) == ["mode is normal"] * 9 + ["retried by ann"]
