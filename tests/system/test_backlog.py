"""How many may wait: beyond that a submission is refused with a time to come again, and nobody is thrown out for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.testing.world import World
from services.scheduler.domain import backlog
from tests.system.test_batches import ids_of, post, submitted, task
from tests.system.walking import limit, restart


@pytest.fixture
async def world(stepwise: World) -> World:
    """One slot, and stages that end for the tasks that a test lets go."""
    await limit(stepwise, 1)
    return stepwise


async def config(api: httpx.AsyncClient, **values: int) -> None:
    """Change settings."""
    assert (await api.put("/v1/config", json=values)).status_code == 200


async def one(api: httpx.AsyncClient, key: str, *, enqueue: str = "", **values: Any) -> httpx.Response:
    """Submit a task by itself."""
    return await api.post(
        "/v1/tasks",
        json=task(**values),
        headers={"idempotency-key": key},
        params={"enqueue": enqueue} if enqueue else {},
    )


async def test_beyond_the_limit_a_task_is_refused_with_its_position_and_nothing_is_recorded(
    world: World, api: httpx.AsyncClient
) -> None:
    await config(api, max_queued=3)
    for number in range(4):
        assert (await one(api, f"k{number}")).status_code == 202
    before = await world.events()
    answer = await one(api, "k4", priority="urgent")
    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
    problem = answer.json()
    assert problem["title"] == "Too many tasks wait"
    assert (problem["waiting"], problem["max_queued"]) == (3, 3)
    assert problem["position"] == {"ahead": 0, "exact": True}
    # Nothing has come free yet, so there is nothing to measure, and that is said.
    assert answer.headers["retry-after"] == "60"
    assert "no slot pace could be measured" in problem["detail"]
    assert "enqueue=always" in problem["detail"]
    assert (await one(api, "k4")).json()["position"] == {"ahead": 3, "exact": True}
    assert await world.events() == before, "nobody is thrown out and nothing is half taken in"


async def test_when_to_come_again_follows_from_how_often_a_slot_comes_free(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    ids = [(await one(api, f"k{number}")).json()["id"] for number in range(12)]
    for task_id in ids[:7]:
        going.add(task_id)
        await world.pass_time(7)
    await config(api, max_queued=1)
    answer = await one(api, "again")
    assert answer.status_code == 429
    # Four wait, so that four have to start before one more may wait.
    assert answer.json()["waiting"] == 4
    assert answer.headers["retry-after"] == "28"
    assert "about 28 s: a slot has come free every 7.0 s over the last 6" in answer.json()["detail"]


async def test_a_batch_counts_whole(world: World, api: httpx.AsyncClient) -> None:
    await config(api, max_queued=3)
    await post(api, task("runs"), key="runs")
    await post(api, task("a"), key="a")
    refused = await post(api, task("b"), task("c"), task("d", "b"))
    assert refused.status_code == 429
    assert len(await submitted(world)) == 2
    assert (await post(api, task("b"), task("d", "b"))).status_code == 202
    # It would not fit into an empty queue either: to come again would be no use.
    larger = await post(api, *(task() for _ in range(4)), key="larger")
    assert (larger.status_code, larger.json()["field"]) == (422, "tasks")
    assert "retry-after" not in larger.headers
    assert "split it" in larger.json()["detail"]


async def test_who_wants_to_wait_all_the_same_may_up_to_a_ceiling(
    world: World, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await config(api, max_queued=1)
    for number in range(2):
        await one(api, f"k{number}")
    assert (await one(api, "k2")).status_code == 429
    assert (await one(api, "k2", enqueue="always")).status_code == 202
    tasks = {"tasks": [task("a"), task("b", "a")]}
    assert (await api.post("/v1/batches", json=tasks, params={"enqueue": "always"})).status_code == 202
    monkeypatch.setattr(backlog, "CEILING", 4)
    answer = await one(api, "k3", enqueue="always")
    assert (answer.status_code, answer.json()["most"]) == (429, 4)
    assert "enqueue=always" not in answer.json()["detail"]
    assert (await one(api, "k3", enqueue="if_room")).json()["most"] == 1
    odd = await one(api, "k3", enqueue="perhaps")
    assert (odd.status_code, odd.json()["field"]) == (422, "enqueue")


async def test_what_was_accepted_is_never_refused_when_it_is_sent_again(
    world: World, api: httpx.AsyncClient
) -> None:
    first = await one(api, "k0")
    await one(api, "k1")
    batch = ids_of(await post(api, task("a"), task("b"), key="batch"))
    await config(api, max_queued=1)
    again = await one(api, "k0")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert ids_of(await post(api, task("a"), task("b"), key="batch")) == batch
    # Neither does a retry or a change of class of what is there already.
    assert (await api.post(f"/v1/tasks/{batch['a']}/cancel")).status_code == 202
    assert (await api.post(f"/v1/tasks/{batch['a']}/retry")).status_code == 202


async def test_a_key_is_honoured_for_longer_than_a_day_and_for_ever(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    first = await one(api, "k")
    tasks = ids_of(await post(api, task("a"), key="batch"))
    going |= {first.json()["id"], tasks["a"]}
    await world.settle()
    for wait in (timedelta(hours=24), timedelta(days=400)):
        await world.pass_time(wait.total_seconds())
        await restart(world, "scheduler")
        again = await one(api, "k")
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        assert ids_of(await post(api, task("a"), key="batch")) == tasks
        assert (await one(api, "k", priority="low")).status_code == 422
    assert len(await submitted(world)) == 2
