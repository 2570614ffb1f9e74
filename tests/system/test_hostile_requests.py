"""Requests of somebody who means no good, or does not care: each is refused by name or does what it says, and no more."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from libs.testing.world import World
from tests.system.test_batches import post, submitted, task
from tests.system.walking import end, facts_of, sound, submit


@pytest.fixture
def world(stepwise: World) -> World:
    """Services whose stages end for the tasks that a test lets go."""
    return stepwise


def named(actor: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-actor", actor)]


@pytest.mark.parametrize("actor", [b"", b"  ", b"\x07\x1b"])
async def test_who_gives_no_name_is_the_api_and_cancels_all_the_same(
    world: World, api: httpx.AsyncClient, actor: bytes
) -> None:
    await submit(world, "t1")
    answer = await api.post("/v1/tasks/t1/cancel", headers=named(actor))
    assert (answer.status_code, answer.json()["phase"]) == (202, "cancelling")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_cancelled"
    assert [one.actor for one in facts_of(events, "t1", "task_cancel_requested")] == ["api"]
    assert (await api.post("/v1/queues/shop/pause", headers=named(actor))).json()["paused_by"] == "api"


@pytest.mark.parametrize(
    ("actor", "known_as"),
    [
        (b"ann\nbob", "ann bob"),
        (b"\x1b[31mann\x1b[0m", "[31mann [0m"),
        (b"  ann\t of  the shop ", "ann of the shop"),
        ("Zoë".encode(), "Zoë"),
        (b"\xff", "ÿ"),
        (b"x" * 5_000, "x" * 100),
    ],
)
async def test_a_name_is_one_line_that_a_terminal_can_show(
    world: World, api: httpx.AsyncClient, actor: bytes, known_as: str
) -> None:
    paused = await api.post("/v1/queues/shop/pause", headers=named(actor))
    assert paused.json()["paused_by"] == known_as


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/tasks/t1/cancel", {}),
        ("POST", "/v1/queues/shop/pause", {}),
        ("PUT", "/v1/drain", {}),
        ("PUT", "/v1/mode", {"mode": "read-only"}),
    ],
)
async def test_a_reason_has_an_end(
    world: World, api: httpx.AsyncClient, method: str, path: str, body: dict[str, str]
) -> None:
    await submit(world, "t1")
    before = await world.events()
    answer = await api.request(method, path, json={**body, "reason": "x" * 1_001})
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    assert await world.events() == before
    assert (await api.request(method, path, json={**body, "reason": "x" * 1_000})).is_success


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"queue": "shop\n"}, "queue"),
        ({"key": "a\n"}, "key"),
        ({"repos": [{"name": "r\n", "url": "/r"}]}, "repos[0].name"),
        ({"budget": {"tokens": 10**30}}, "budget.tokens"),
        ({"title": " \n\t"}, "title"),
    ],
)
async def test_a_task_that_nobody_could_name_or_pay_for_is_refused_by_field(
    world: World, api: httpx.AsyncClient, fault: dict[str, Any], field: str
) -> None:
    alone = await api.post("/v1/tasks", json=task(**fault))
    assert (alone.status_code, alone.json()["field"]) == (422, field)
    batch = await post(api, task("good"), {**task("bad"), **fault})
    assert (batch.status_code, batch.json()["field"]) == (422, f"tasks[1].{field}")
    assert await submitted(world) == []


@pytest.mark.parametrize("path", ["/v1/queues/shop%0A/pause", "/v1/queues/shop%0A/resume"])
async def test_a_queue_whose_name_ends_in_a_line_break_is_none(
    world: World, api: httpx.AsyncClient, path: str
) -> None:
    assert (await api.post(path)).status_code == 422
    assert await world.events() == []


async def test_a_provider_whose_name_ends_in_a_line_break_is_none(
    world: World, api: httpx.AsyncClient
) -> None:
    answer = await api.put("/v1/budget", json={"scope": "provider:x\n", "tokens": 5_000})
    assert (answer.status_code, answer.json()["field"]) == (422, "scope")


@pytest.mark.parametrize("after", ["-1", str(2**63), "9" * 40, "x"])
async def test_events_are_asked_for_behind_a_version_that_there_can_be(
    world: World, api: httpx.AsyncClient, after: str
) -> None:
    await submit(world, "t1")
    answer = await api.get("/v1/tasks/t1/events", params={"after": after})
    assert (answer.status_code, answer.json()["field"]) == (422, "after")
    assert (await api.get("/v1/tasks/t1/events", params={"after": 2**62})).json() == {"events": []}


async def test_a_budget_of_a_task_that_is_done_is_not_changed(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    going.add("t1")
    await submit(world, "t1")
    await world.settle()
    before = await world.events()
    answer = await api.put("/v1/tasks/t1/budget", json={"tokens": 5})
    assert (answer.status_code, answer.json()["title"]) == (409, "Too late")
    assert await world.events() == before
