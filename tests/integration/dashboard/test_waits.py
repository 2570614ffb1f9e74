"""Why a task does not run yet, as the page is told: the scheduler's own answer, asked for once however many look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.dashboard.adapters.waits import SchedulerUnavailableError
from tests.integration.dashboard.taskapi import TaskApi
from tests.integration.dashboard.world import World

Program = Callable[[World], httpx.AsyncClient]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A dashboard whose scheduler is where nobody answers."""
    world = World(tmp_path)
    yield world
    world.running.parts.feed.close()


@pytest.fixture
async def tasks(world: World) -> AsyncIterator[TaskApi]:
    """The scheduler that it asks, with one slot."""
    api = TaskApi(world)
    await api.start()
    await api.open()
    await api.call("PUT", "/v1/config", {"max_concurrent": 1})
    yield api
    await api.stop()


def named(*ids: str) -> list[tuple[str, str]]:
    return [("task", name) for name in ids]


async def told(client: httpx.AsyncClient, *ids: str) -> dict[str, Any]:
    """What is said of tasks, by id."""
    answer = await client.get("/api/v1/waits", params=named(*ids))  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return {one["id"]: one for one in answer.json()["waits"]}


async def test_the_scheduler_says_what_tasks_wait_for(world: World, program: Program, tasks: TaskApi) -> None:
    runs, waits = await tasks.submit("one"), await tasks.submit("two")
    behind = await tasks.submit("three", depends_on=[runs])
    await tasks.call("POST", "/v1/queues/shop/pause", {"reason": "release day"})
    paused = await tasks.submit("four", queue="shop")
    said = await told(program(world), runs, waits, behind, paused, "tnobody", "../x")
    assert set(said) == {runs, waits, behind, paused}
    assert said[runs]["why_not_yet"] == ""
    assert said[waits]["position"] == {"ahead": 0, "exact": True}
    assert said[waits]["estimate"]["seconds"] is None
    assert said[behind]["waits"] == [
        {"kind": "dependency", "detail": f"waits for {runs} (running at spec)", "on": [runs]}
    ]
    assert "queue shop is paused by ann (release day)" in said[paused]["why_not_yet"]
    for one in said.values():
        shown = await tasks.call("GET", f"/v1/tasks/{one['id']}")
        assert one["why_not_yet"] == shown.get("why_not_yet", "")
        assert one["estimate"] == shown.get("estimate")


async def test_many_who_look_ask_the_scheduler_once_a_second(
    world: World, program: Program, tasks: TaskApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tasks.submit("one")
    waits = await tasks.submit("two")
    asked: list[list[str]] = []
    real = world.running.parts.waits._ask

    async def ask(ids: list[str]) -> Any:
        asked.append(list(ids))
        return await real(ids)

    monkeypatch.setattr(world.running.parts.waits, "_ask", ask)
    client = program(world)
    await asyncio.gather(*(told(client, waits) for _ in range(30)))
    assert asked == [[waits]]
    for later_s in (1.1, -3600):
        asked.clear()
        world.clock.advance(later_s)
        await told(client, waits)
        assert asked == [[waits]]


async def test_without_a_scheduler_it_is_said_at_once_and_not_tried_by_everybody(
    world: World, program: Program, tasks: TaskApi
) -> None:
    waits = await tasks.submit("one")
    await tasks.stop()
    client = program(world)
    answers = [await client.get("/api/v1/waits", params=named(waits)) for _ in range(3)]  # type: ignore[arg-type]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].headers["retry-after"] == "2"
    assert "the scheduler cannot be asked: ConnectError" in answers[0].json()["detail"]
    await tasks.start()
    world.clock.advance(1.1)
    await tasks.open()
    assert waits in await told(program(world), waits)


async def test_a_failure_is_told_for_a_second_of_a_clock_that_may_be_set_back(
    world: World, program: Program, tasks: TaskApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def ask(ids: list[str]) -> Any:
        nonlocal asked
        asked += 1
        raise SchedulerUnavailableError("it is away")

    client = program(world)
    monkeypatch.setattr(world.running.parts.waits, "_ask", ask)
    for number, later_s in enumerate((0, 1.1, -3600), start=1):
        world.clock.advance(later_s)
        answers = [await client.get("/api/v1/waits", params=named("t1")) for _ in range(3)]  # type: ignore[arg-type]
        assert {answer.status_code for answer in answers} == {503}
        assert asked == number


async def test_a_standby_is_no_scheduler_either(world: World, program: Program, tasks: TaskApi) -> None:
    waits = await tasks.submit("one")
    tasks.running.stand_down()
    answer = await program(world).get("/api/v1/waits", params=named(waits))  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "the scheduler cannot be asked: it answers 503",
    )


@pytest.mark.parametrize("count", [0, 501])
async def test_what_asks_for_none_or_too_many_is_refused(
    world: World, program: Program, tasks: TaskApi, count: int
) -> None:
    ids = named(*(f"t{number}" for number in range(count)))
    answer = await program(world).get("/api/v1/waits", params=ids)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["field"]) == (422, "task")
