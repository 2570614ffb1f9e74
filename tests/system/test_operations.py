"""What people do to the scheduler while it runs: each wish is an event with a name, and has its effect once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from libs.testing.world import World
from services.scheduler.domain.commands import Cancel
from tests.system.test_slots import granted
from tests.system.walking import facts_of, limit, restart, sound, state_of, submit, tell

ANN = {"x-actor": "ann"}


@pytest.fixture
def world(stepwise: World) -> World:
    """Services whose stages end for the tasks that a test lets go."""
    return stepwise


async def call(api: httpx.AsyncClient, method: str, path: str, **body: Any) -> Any:
    """Call the API as ann; every wish is sent twice, and only the first is an event."""
    for _ in range(2):
        answer = await api.request(method, path, json=body, headers=ANN)
        assert answer.status_code in (200, 202), answer.text
    return answer.json()


async def told(world: World, kind: str) -> list[Any]:
    """What was recorded of one type."""
    return [event.event for event in await world.events(kind)]


async def queues(api: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Queues by name."""
    listed = (await api.get("/v1/queues")).json()["queues"]
    return {one["name"]: one for one in listed}


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    await submit(world, "t0", queue="shop")
    paused = await call(api, "POST", "/v1/queues/shop/pause", reason="release day")
    assert paused == {
        "name": "shop",
        "weight": 1,
        "paused": True,
        "paused_by": "ann",
        "reason": "release day",
        "waiting": 0,
        "running": 1,
    }
    await submit(world, "t1", queue="shop")
    await submit(world, "t2")
    going |= {"t0", "t1", "t2"}
    await world.settle()
    assert granted(await world.events()) == ["t0", "t2"]
    assert (await queues(api))["shop"]["waiting"] == 1
    await restart(world, "scheduler")
    assert (await call(api, "POST", "/v1/queues/shop/resume"))["running"] == 1
    await world.settle()
    assert granted(await sound(world)) == ["t0", "t2", "t1"]
    [event] = await told(world, "queue_paused")
    assert (event.queue, event.actor, event.reason) == ("shop", "ann", "release day")
    assert [event.actor for event in await told(world, "queue_resumed")] == ["ann"]


async def test_a_weight_is_kept_and_told(world: World, api: httpx.AsyncClient) -> None:
    assert (await call(api, "PUT", "/v1/queues/shop/weight", weight=3))["weight"] == 3
    [event] = await told(world, "queue_weight_changed")
    assert (event.queue, event.weight, event.actor) == ("shop", 3, "ann")
    assert (await queues(api))["shop"]["weight"] == 3


async def test_settings_are_changed_together_and_by_name(world: World, api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/config")).json() == {
        "max_concurrent": 10,
        "max_queued": 10_000,
        "running": 0,
        "waiting": 0,
    }
    both = await call(api, "PUT", "/v1/config", max_concurrent=3, max_queued=7)
    assert (both["max_concurrent"], both["max_queued"]) == (3, 7)
    assert (await call(api, "PUT", "/v1/config", max_concurrent=4))["max_queued"] == 7
    assert [event.actor for event in await told(world, "backlog_limit_changed")] == ["ann"]
    assert [event.max_concurrent for event in await told(world, "limit_changed")] == [3, 4]


async def test_a_task_changes_its_class_and_keeps_it_whenever_it_waits_again(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    await limit(world, 1)
    for number in range(3):
        await submit(world, f"t{number}")
    await submit(world, "late", priority="low")
    shown = await call(api, "POST", "/v1/tasks/late/reprioritise", priority="urgent")
    assert shown["priority"] == "urgent"
    going |= {"t0"}
    await world.settle()
    assert granted(await world.events()) == ["t0", "late"]
    [event] = facts_of(await world.events(), "late", "task_priority_changed")
    assert (event.priority, event.before, event.actor) == ("urgent", "low", "ann")
    # It is urgent as well when it comes a second time.
    await tell(world, "late", Cancel(actor="ann", reason=""))
    await world.settle()
    await call(api, "POST", "/v1/tasks/t2/reprioritise", priority="low")
    assert (await api.post("/v1/tasks/late/reprioritise", json={"priority": "low"})).status_code == 409
    assert (await api.post("/v1/tasks/late/retry", json={})).status_code == 202
    assert (await state_of(world, "late")).priority == "urgent"
    going |= {"t1", "t2", "late"}
    await world.settle()
    assert granted(await sound(world))[2:] == ["t1", "late", "t2"]


async def test_a_retry_may_change_what_the_commands_may_take_of_memory(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    await submit(world, "t0")
    await tell(world, "t0", Cancel(actor="ann", reason=""))
    await world.settle()
    refused = await api.post("/v1/tasks/t0/retry", json={"memory_mb": 15})
    assert refused.status_code == 422
    assert "memory_mb" in refused.text
    changed = await api.post("/v1/tasks/t0/retry", json={"memory_mb": 512}, headers=ANN)
    assert changed.status_code == 202
    [event] = facts_of(await world.events(), "t0", "memory_ceiling_changed")
    assert (event.memory_mb, event.before, event.actor) == (512, 100, "ann")
    assert (await state_of(world, "t0")).spec.budget.memory_mb == 512


async def test_while_it_drains_nothing_starts_and_what_runs_ends(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    await submit(world, "t0")
    drain = await call(api, "PUT", "/v1/drain", reason="new disks")
    assert drain == {"draining": True, "actor": "ann", "reason": "new disks", "running": 1, "waiting": 0}
    await submit(world, "t1")
    going |= {"t0", "t1"}
    await world.settle()
    assert (await api.get("/v1/drain")).json() == {**drain, "running": 0, "waiting": 1}
    await restart(world, "scheduler")
    await world.settle()
    assert granted(await world.events()) == ["t0"]
    assert (await call(api, "DELETE", "/v1/drain"))["draining"] is False
    await world.settle()
    assert granted(await sound(world)) == ["t0", "t1"]
    assert [event.actor for event in await told(world, "admission_held")] == ["ann"]
    assert [event.actor for event in await told(world, "admission_released")] == ["ann"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("PUT", "/v1/config", {"max_concurrent": 0}, 422, "max_concurrent"),
        ("PUT", "/v1/config", {"max_concurrent": 1_001}, 422, "max_concurrent"),
        ("PUT", "/v1/config", {"max_queued": 0}, 422, "max_queued"),
        ("PUT", "/v1/config", {"max_queud": 1}, 422, "max_queud"),
        ("PUT", "/v1/config", {}, 422, ""),
        ("PUT", "/v1/queues/shop/weight", {"weight": 0}, 422, "weight"),
        ("PUT", "/v1/queues/shop/weight", {"weight": 101}, 422, "weight"),
        ("PUT", "/v1/queues/shop/weight", {}, 422, "weight"),
        ("PUT", "/v1/queues/no queue/weight", {"weight": 2}, 422, "queue"),
        ("POST", "/v1/queues/-/pause", {}, 422, "queue"),
        ("POST", "/v1/queues/shop/pause", {"why": "x"}, 422, "why"),
        ("POST", "/v1/tasks/t0/reprioritise", {"priority": "asap"}, 422, "priority"),
        ("POST", "/v1/tasks/t0/reprioritise", {"priority": "low"}, 404, ""),
        ("PUT", "/v1/drain", {"reason": 7}, 422, "reason"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_field_and_changes_nothing(
    world: World, api: httpx.AsyncClient, method: str, path: str, body: Any, status: int, field: str
) -> None:
    answer = await api.request(method, path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json().get("field", "") == field
    assert await world.events() == []
