"""Several schedulers over one record: one leads, the others answer that they do not, and nobody gives a slot twice."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from libs.eventstore.store import LeaseClaim, StaleLeaseError
from libs.messaging.memory import MemoryBus
from libs.runtime import http
from libs.runtime.running import Running
from libs.testing.world import World
from services.scheduler.domain.admission import POOL, Hold, Limit, Release, admission
from services.scheduler.handlers.wishes import operate
from tests.system.twin import honest, patch_task
from tests.system.walking import end, facts_of, sound, submit, switch

ROUTES = [
    ("GET", "/v1/tasks", None),
    ("GET", "/v1/tasks/t1", None),
    ("GET", "/v1/tasks/t1/events", None),
    ("POST", "/v1/tasks", {"title": "t", "repos": [{"name": "r", "url": "u", "fail_to_pass": ["true"]}]}),
    ("POST", "/v1/tasks/t1/cancel", {}),
    ("GET", "/v1/mode", None),
    ("PUT", "/v1/mode", {"mode": "read-only"}),
    ("PUT", "/v1/drain", {}),
    ("PUT", "/v1/config", {"max_concurrent": 3}),
]


def standby(world: World, name: str = "scheduler-2") -> Running:
    """Another scheduler that holds no lease."""
    first = world.running["scheduler"]
    return Running(
        first.service,
        config=msgspec.structs.replace(first.config, replica=name),
        store=world.store,
        bus=MemoryBus(world.server, world.registry, "scheduler"),
        clock=world.clock,
        ids=world.ids,
        publish=first._publish,
    )


async def take_over(world: World, running: Running) -> None:
    """Let a standby lead, as after the end of the lease."""
    lease = await world.store.acquire("scheduler", running.config.holder, 100_000, takeover=True)
    assert lease is not None
    running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=lambda one: str(one))
async def test_a_standby_says_so_and_when_to_ask_again(
    acted: Any, method: str, path: str, body: dict[str, Any] | None
) -> None:
    world: World = await acted(honest)
    await submit(world, "t1", patch_task())
    await world.settle()
    before = await world.events()
    other = standby(world)

    async def ready() -> dict[str, str]:
        return {}

    headers = {"authorization": f"Bearer {other.config.api_token}"}
    transport = httpx.ASGITransport(app=http.build(other, ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://standby", headers=headers) as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Not the leader"
    assert "scheduler-2" in answer.json()["detail"]
    assert await world.events() == before


async def test_a_leader_that_was_overtaken_gives_no_slot_any_more(acted: Any) -> None:
    world: World = await acted(lambda request: None)
    first, other = world.running["scheduler"], standby(world)
    await first.perform(lambda work: operate(work, Limit(max_concurrent=2, actor="ann")))
    for number in range(4):
        await submit(world, f"t{number}", patch_task())
    await take_over(world, other)
    pool = await other.perform(lambda work: work.load(admission, POOL))
    assert pool.running == ("t0", "t1")
    # It slept through the takeover, and has its own idea of the pool.
    with pytest.raises(StaleLeaseError):
        await first.perform(lambda work: operate(work, Limit(max_concurrent=4, actor="bob")))
    await other.perform(lambda work: operate(work, Limit(max_concurrent=3, actor="ann")))
    granted = [one.event.task_id for one in await world.events() if one.type == "slot_granted"]
    assert granted == ["t0", "t1", "t2"]


async def test_what_was_held_and_who_was_set_aside_is_so_under_the_next_leader(acted: Any) -> None:
    ends: set[str] = set()
    world: World = await acted(lambda request: honest(request) if ends else None)
    await submit(world, "t1", patch_task())
    await world.settle()
    await world.perform("scheduler", lambda work: operate(work, Hold(cause="drain", actor="ann")))
    await switch(world, "emergency-stop")
    await world.settle()
    await world.crash("scheduler")
    await world.start("scheduler")
    await submit(world, "t2", patch_task())
    await switch(world, "normal")
    ends.add("now")
    await world.settle()
    # The mode is over, the drain is not: called back, and not started.
    events = await sound(world)
    assert end(events, "t1") == "task_unparked"
    assert facts_of(events, "t2", "slot_granted") == []
    await world.perform("scheduler", lambda work: operate(work, Release(cause="drain", actor="ann")))
    await world.settle()
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_done", "task_done")
