"""A cancelled task takes back what it has published, wherever it was, and tells what stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.task import RunRequest
from libs.forge.error import ForgeUnavailableError
from libs.forge.local import LocalForge
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel, Retry
from services.stage_runner.adapters.stages import pr, withdrawal
from tests.system.shop import RIGHT, Shop
from tests.system.test_patch import until, unwaiting
from tests.system.twin import Answer, Script, honest, patch_task
from tests.system.walking import (
    end,
    facts_of,
    limit,
    restart,
    sound,
    state_of,
    submit,
    switch,
    tell,
    wait_out,
)

CANCEL = Cancel(actor="somebody", reason="not needed")
Acted = Callable[[Script], Awaitable[World]]


async def stopped_after_opening(world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task whose pull request is open, parked by an emergency stop in the middle of `pr`."""
    opened, parts = asyncio.Event(), world.running["stage-runner"].parts

    async def hang(*_: Any) -> None:
        opened.set()
        await asyncio.Event().wait()

    waiting = parts.idle
    unwaiting(world)
    with monkeypatch.context() as patch:
        patch.setattr(pr, "annotate", hang)
        await submit(world, "t1", shop.task(shop.patch({"wide.py": RIGHT})))
        await until(world, opened.is_set)
        await switch(world, "emergency-stop")
        await until(world, lambda: not parts.working_on("t1-pr-1"))
    parts.idle = waiting
    await world.settle()
    assert (await state_of(world, "t1")).phase == "parked"


async def states(tmp_path: Path, shop: Shop) -> list[str]:
    return [pull.state for pull in await LocalForge(tmp_path / "data").list(shop.url)]


async def test_a_task_that_was_stopped_in_the_middle_of_publishing_leaves_nothing_open(
    world: World, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stopped_after_opening(world, shop, monkeypatch)
    assert await states(tmp_path, shop) == ["open"]
    await tell(world, "t1", CANCEL)
    # Nothing is executed for it: the stop does not keep it waiting.
    await world.settle()
    assert await states(tmp_path, shop) == ["closed"]
    events = await sound(world)
    (cancelled,) = facts_of(events, "t1", "task_cancelled")
    (left,) = cancelled.left
    assert left.startswith("branch autopilot/t1 of wide stays at ")
    assert left in (await state_of(world, "t1")).reason
    await switch(world, "normal")
    await world.settle()
    assert end(await sound(world)) == "task_cancelled"


async def test_a_crash_in_between_does_not_forget_it(
    world: World, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stopped_after_opening(world, shop, monkeypatch)
    close, closed = LocalForge.close, asyncio.Event()

    async def dying(*args: Any, **values: Any) -> None:
        await close(*args, **values)
        closed.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(LocalForge, "close", dying)
        unwaiting(world)
        await tell(world, "t1", CANCEL)
        await until(world, closed.is_set)
        await world.crash("stage-runner")
    await restart(world, "stage-runner")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_cancelled"
    assert await states(tmp_path, shop) == ["closed"]
    assert [one.stage for one in facts_of(events, "t1", "stage_resumed")] == ["withdrawal"]


async def test_what_a_forge_that_is_away_keeps_open_is_told(
    world: World, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stopped_after_opening(world, shop, monkeypatch)

    async def away(*_: Any, **__: Any) -> None:
        raise ForgeUnavailableError("the disk is full", transient=True)

    monkeypatch.setattr(withdrawal, "PAUSES_S", (0.0,))
    monkeypatch.setattr(LocalForge, "close", away)
    await tell(world, "t1", CANCEL)
    await world.settle()
    (cancelled,) = facts_of(await sound(world), "t1", "task_cancelled")
    assert "could not be closed" in cancelled.left[0]
    assert "the disk is full" in cancelled.left[0]
    assert await states(tmp_path, shop) == ["open"]


async def test_a_change_that_is_watched_is_taken_back(world: World, shop: Shop, tmp_path: Path) -> None:
    wanted = shop.task(shop.patch({"wide.py": RIGHT}), monitor={"window_s": 1_000})
    await submit(world, "t1", wanted)
    await world.settle()
    assert (await state_of(world, "t1")).phase == "waiting"
    await tell(world, "t1", CANCEL)
    await world.settle()
    await wait_out(world)
    assert end(await sound(world)) == "task_cancelled"
    assert await states(tmp_path, shop) == ["closed"]


class Gatekeeper:
    """Lets stages end well, but for those that are shut."""

    def __init__(self, *shut: str) -> None:
        self.shut = set(shut)

    def __call__(self, request: RunRequest) -> Answer:
        return None if request.stage in self.shut else honest(request)


@pytest.mark.parametrize("stage", ["pr", "monitor"])
async def test_meanwhile_it_holds_no_slot_and_nobody_builds_on_it(acted: Acted, stage: str) -> None:
    keeper = Gatekeeper(stage, "withdrawal")
    world = await acted(keeper)
    await limit(world, 1)
    await submit(world, "t1", patch_task())
    await world.settle()
    await submit(world, "t2", patch_task(depends_on=["t1"]))
    await submit(world, "t3", patch_task())
    await tell(world, "t1", CANCEL)
    keeper.shut = {"withdrawal"}
    await world.settle()
    state = await state_of(world, "t1")
    assert (state.phase, state.live) == ("cancelling", {"t1-withdrawal-1": "withdrawal"})
    events = await world.events()
    assert end(events, "t3") == "task_done"
    assert facts_of(events, "t2", "slot_granted") == []
    # Neither a second wish nor a stop of everything stops it.
    await tell(world, "t1", CANCEL)
    await switch(world, "emergency-stop")
    keeper.shut = set()
    await world.settle()
    events = await sound(world)
    assert end(events, "t1") == "task_cancelled"
    assert (await state_of(world, "t2")).parked == "dependency_broken"


async def test_what_is_taken_up_again_and_cancelled_again_is_taken_back_again(acted: Acted) -> None:
    keeper = Gatekeeper("monitor")
    world = await acted(keeper)
    await submit(world, "t1", patch_task())
    for times in (1, 2):
        await world.settle()
        assert (await state_of(world, "t1")).stage == "monitor"
        await tell(world, "t1", CANCEL)
        await world.settle()
        events = await sound(world)
        assert [one.attempt for one in facts_of(events, "t1", "withdrawal_requested")] == [
            *range(1, times + 1)
        ]
        assert end(events) == "task_cancelled"
        await tell(world, "t1", Retry(actor="somebody"))
