"""Tokens over HTTP: what is shown, what may be changed and by whom, what is refused."""

from __future__ import annotations

import httpx
import pytest

from libs.runtime.metrics import exposition
from libs.testing.world import World
from tests.system.conftest import Make
from tests.system.walking import CORE, sound, state_of, submit

ANN = {"x-actor": "ann"}


@pytest.fixture
async def world(make: Make) -> World:
    """The four services that carry a task."""
    return await make(CORE)


async def test_a_ledger_is_shown_with_its_accounts_and_who_waits(
    world: World, api: httpx.AsyncClient
) -> None:
    body = {"scope": "hour", "tokens": 1_000, "ledger": "synthetic"}
    assert (await api.put("/v1/budget", json=body, headers=ANN)).status_code == 200
    await submit(world, "t1", body="spend implement 1000 1 400")
    await world.settle()
    await submit(world, "t2", body="spend implement 700")
    await world.settle()
    shown = (await api.get("/v1/budget", params={"ledger": "synthetic"})).json()
    assert shown["accounts"] == [
        {"scope": "hour", "ceiling": 1_000, "reserved": 0, "spent": 400},
        {"scope": "provider:simulated", "ceiling": None, "reserved": 0, "spent": 400},
    ]
    assert [(one["task_id"], one["tokens"]) for one in shown["waiting"]] == [("t2", 1_000)]
    real = (await api.get("/v1/budget")).json()
    assert real["accounts"] == [{"scope": "hour", "ceiling": 100_000, "reserved": 0, "spent": 0}]


async def test_a_ceiling_is_changed_once_under_the_name_of_who_changed_it(
    world: World, api: httpx.AsyncClient
) -> None:
    for _ in range(2):
        answer = await api.put("/v1/budget", json={"scope": "provider:x", "tokens": 5_000}, headers=ANN)
        assert answer.status_code == 200
    (changed,) = await world.events("ceiling_changed")
    assert (changed.event.scope, changed.event.tokens, changed.event.actor) == ("provider:x", 5_000, "ann")
    assert not changed.meta.synthetic
    assert (await api.put("/v1/budget", json={"scope": "provider:x", "tokens": None})).status_code == 200
    assert len((await api.get("/v1/budget")).json()["accounts"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "hour", "tokens": None},
        {"scope": "hour", "tokens": 999},
        {"scope": "task:t1", "tokens": 5_000},
        {"scope": "hour"},
        {"scope": "hour", "tokens": 5_000, "ledger": "other"},
    ],
)
async def test_a_ceiling_that_could_admit_nobody_or_is_none_is_refused(
    world: World, api: httpx.AsyncClient, body: dict[str, object]
) -> None:
    answer = await api.put("/v1/budget", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert not await world.events("ceiling_changed")


async def test_a_task_that_may_spend_nothing_and_has_to_is_refused(
    world: World, api: httpx.AsyncClient
) -> None:
    task = {
        "title": "a task",
        "engine": "noop",
        "synthetic": True,
        "repos": [{"name": "one", "url": "nowhere"}],
        "body": "spend implement 10",
        "budget": {"tokens": 0},
    }
    refused = await api.post("/v1/tasks", json=task)
    assert refused.status_code == 422
    assert "budget.tokens" in refused.text
    assert (await api.post("/v1/tasks", json={**task, "body": "spends nothing"})).status_code == 202


async def test_a_tasks_budget_is_raised_and_it_goes_on(world: World, api: httpx.AsyncClient) -> None:
    await submit(world, "t1", body="spend implement 900 3", budget={"tokens": 2_000})
    await world.settle()
    assert (await state_of(world, "t1")).parked == "tokens"
    answer = await api.put("/v1/tasks/t1/budget", json={"tokens": 8_000}, headers=ANN)
    assert answer.json() == {"id": "t1", "tokens": 8_000}
    await world.settle()
    assert (await state_of(world, "t1")).phase == "done"
    assert (await api.put("/v1/tasks/t9/budget", json={"tokens": 8_000})).status_code == 404
    assert (await api.put("/v1/tasks/t1/budget", json={"tokens": -1})).status_code == 422
    await sound(world)


async def test_the_real_ledger_is_measured(world: World, api: httpx.AsyncClient) -> None:
    running = world.running["scheduler"]
    await exposition(running)
    told = {
        (family.name, *sample.labels.values()): sample.value
        for family in running.measured
        for sample in family.samples
    }
    assert told == {
        ("autopilot_tokens_reserved", "hour"): 0,
        ("autopilot_tokens_spent", "hour"): 0,
        ("autopilot_tokens_ceiling", "hour"): 100_000,
    }
