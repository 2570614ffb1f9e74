"""Two runs of one task in flight: what the plan builds on is made ready while the task thinks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from contracts.task import Failure, RunRequest
from libs.forge.local import LocalForge
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel
from tests.system.shop import FIX, PYTEST, RIGHT, Shop
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import (
    end,
    facts_of,
    restart,
    sound,
    stages,
    state_of,
    submit,
    switch,
    tell,
    verdicts,
    wait_out,
)

Acted = Callable[[Script], Awaitable[World]]


class Gatekeeper:
    """Lets stages end well, but for those that are shut."""

    def __init__(self, *shut: str) -> None:
        self.shut = set(shut)

    def __call__(self, request: RunRequest) -> Answer:
        return None if request.stage in self.shut else honest(request)


async def both_in_flight(acted: Acted, keeper: Gatekeeper) -> World:
    """A world in which task t1 thinks while its workspace is made ready."""
    world = await acted(keeper)
    await submit(world, "t1", patch_task(priority="urgent"))
    await world.settle()
    assert set((await state_of(world, "t1")).live.values()) == {"think", "workspace"}
    return world


@pytest.mark.parametrize("last", ["think", "workspace"])
async def test_the_change_begins_when_the_later_of_both_has_ended(acted: Acted, last: str) -> None:
    keeper = Gatekeeper("think", "workspace")
    world = await both_in_flight(acted, keeper)
    keeper.shut = {last}
    await world.settle()
    assert (await state_of(world, "t1")).live == {f"t1-{last}-1": last}
    keeper.shut = set()
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    (joined,) = facts_of(events, "t1", "run_joined")
    assert {joined.stage, last} == {"think", "workspace"}
    (implement,) = [one for one in facts_of(events, "t1", "stage_requested") if one.stage == "implement"]
    assert implement.input.thoughts
    assert implement.input.baselines[0].commands


@pytest.mark.parametrize("service", ["stage-runner", "scheduler"])
async def test_a_crash_with_both_in_flight_loses_neither(acted: Acted, service: str) -> None:
    keeper = Gatekeeper("think", "workspace")
    world = await both_in_flight(acted, keeper)
    await restart(world, service)
    keeper.shut = set()
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_done"
    assert len(facts_of(events, "t1", "workspace_requested")) == 1
    assert stages(events).count("think 1") == 1
    if service == "stage-runner":
        assert {one.stage for one in facts_of(events, "t1", "stage_resumed")} == {"think", "workspace"}


async def test_a_cancelled_task_leaves_neither_running(acted: Acted) -> None:
    world = await both_in_flight(acted, Gatekeeper("think", "workspace"))
    await tell(world, "t1", Cancel(actor="somebody", reason="enough"))
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_cancelled"
    assert {one.stage for one in facts_of(events, "t1", "stage_cancelled")} == {"think", "workspace"}


async def test_an_emergency_stop_stops_both_and_both_are_taken_up_again(acted: Acted) -> None:
    keeper = Gatekeeper("think", "workspace")
    world = await both_in_flight(acted, keeper)
    await switch(world, "emergency-stop")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_parked"
    assert {one.stage for one in facts_of(events, "t1", "stage_cancelled")} == {"think", "workspace"}
    keeper.shut = set()
    await switch(world, "normal")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    asked = facts_of(events, "t1", "workspace_requested")
    assert [(one.attempt, one.retry) for one in asked] == [(1, 0), (1, 1)]


async def test_a_workspace_that_fails_stops_think_and_ends_the_task_before_anything_is_changed(
    acted: Acted,
) -> None:
    def script(request: RunRequest) -> Answer:
        if request.stage == "workspace":
            return Failure(kind="impossible", code="base_unusable", detail="the set-up does not work")
        return None if request.stage == "think" else honest(request)

    world = await acted(script)
    await submit(world, "t1", patch_task(priority="urgent"))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_given_up"
    assert [one.stage for one in facts_of(events, "t1", "resolution_awaited")] == ["workspace"]
    assert [one.stage for one in facts_of(events, "t1", "stage_cancelled")] == ["think"]
    assert "implement 1" not in stages(events)


async def test_a_workspace_that_stumbles_is_made_again_and_takes_no_attempt(acted: Acted) -> None:
    def script(request: RunRequest) -> Answer:
        if request.stage == "workspace" and request.retry < 2:
            return Failure(kind="transient", code="sandbox_failed", detail="no room")
        return honest(request)

    world = await acted(script)
    await submit(world, "t1", patch_task())
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_done"
    asked = facts_of(events, "t1", "workspace_requested")
    assert [(one.attempt, one.retry) for one in asked] == [(1, 0), (1, 1), (1, 2)]


async def test_a_simulated_task_has_no_workspace(world: World) -> None:
    await submit(world, "t1")
    await world.settle()
    assert facts_of(await sound(world), "t1", "workspace_requested") == []


async def test_the_base_is_run_once_for_all_tasks_and_verify_finds_it(world: World, shop: Shop) -> None:
    # On two branches, so that the one need not wait for the change of the other.
    shop.git("branch", "release")
    for task_id, base in (("t1", "main"), ("t2", "release")):
        await submit(world, task_id, shop.task(shop.patch({"wide.py": RIGHT}), base=base))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    ran = []
    for task_id in ("t1", "t2"):
        assert end(events, task_id) == "task_done"
        ended = {one.stage: one.output for one in facts_of(events, task_id, "stage_completed")}
        (base,) = ended["workspace"].baselines
        ran += [one.cached for one in base.commands]
        (seen,) = ended["verify"].verifications
        assert all(one.cached for one in seen.commands if one.side == "base")
    assert sorted(ran) == [False, False, True, True]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"setup": "exit 3"}, "base_unusable"),
        ({"fail_to_pass": [f"{PYTEST} test_wide.py::test_narrow"]}, "not_failing_on_base"),
    ],
)
async def test_what_cannot_be_done_is_told_before_anything_is_changed_and_can_be_seen(
    world: World, shop: Shop, tmp_path: Path, values: dict[str, object], code: str
) -> None:
    await submit(world, "t1", shop.task(shop.patch({"wide.py": RIGHT}), **{"fail_to_pass": [FIX], **values}))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_given_up"
    (awaited,) = facts_of(events, "t1", "resolution_awaited")
    assert (awaited.stage, awaited.failure.kind, awaited.failure.code) == ("workspace", "impossible", code)
    assert "implement 1" not in stages(events)
    assert verdicts(events) == {0: ["approve"]}
    (incident,) = facts_of(events, "t1", "incident_filed")
    assert incident.report.reproduction.gave == "as_recorded", incident.report
    assert await LocalForge(tmp_path / "data").list(shop.url) == ()
