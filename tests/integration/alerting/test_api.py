"""`GET /v1/alerts`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from libs.runtime import http
from libs.testing.world import World
from tests.integration.alerting.test_delivery import FREE, FULL, LOOP, record, started

HEADERS = {"authorization": "Bearer token-of-the-tests"}


def client(world: World) -> httpx.AsyncClient:
    async def ready() -> dict[str, str]:
        return {}

    transport = httpx.ASGITransport(app=http.build(world.running["alerting"], ready))
    return httpx.AsyncClient(transport=transport, base_url="http://alerting", headers=HEADERS)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = await started(tmp_path)
    for name, event in (("scheduler", LOOP), ("cleanup", FULL), ("cleanup", FREE)):
        await record(made, name, event)
        await made.pass_time(1)
    return made


async def test_alerts_are_listed_the_last_first_with_what_became_of_them(world: World) -> None:
    async with client(world) as calling:
        answer = (await calling.get("/v1/alerts")).json()["alerts"]
    assert [alert["rule"] for alert in answer] == ["disk_pressure", "infinite_loop"]
    assert answer[0]["resolved_at"] is not None
    assert answer[0]["resolved_because"] == "volume data is 70 % full"
    assert answer[1]["resolved_at"] is None
    assert answer[1]["task_id"] == "t1"
    assert answer[1]["sinks"] == [{"sink": "log", "delivered": True, "attempts": 1, "reason": ""}]


async def test_the_list_can_be_paged(world: World) -> None:
    async with client(world) as calling:
        first = (await calling.get("/v1/alerts", params={"limit": 1})).json()["alerts"]
        rest = await calling.get("/v1/alerts", params={"after": first[0]["alert_id"]})
    assert [alert["rule"] for alert in (*first, *rest.json()["alerts"])] == ["disk_pressure", "infinite_loop"]


@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": "Bearer wrong"}])
async def test_nobody_reads_them_without_the_token(world: World, headers: dict[str, str]) -> None:
    async with client(world) as calling:
        answer = await calling.get("/v1/alerts", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_a_limit_out_of_range_is_refused_by_name(world: World) -> None:
    async with client(world) as calling:
        answer = await calling.get("/v1/alerts", params={"limit": 0})
    assert (answer.status_code, answer.json()["field"]) == (422, "limit")
