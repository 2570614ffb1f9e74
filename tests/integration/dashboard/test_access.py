"""Who may read: programs with the token, browsers with a session from a one-time link, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from services.dashboard.api.session import LINK_LIFE, SESSION_LIFE, Sessions
from tests.integration.dashboard.world import API_TOKEN, SESSION_KEY, World

Client = Callable[[World], httpx.AsyncClient]


async def link(program: httpx.AsyncClient) -> str:
    """Make a one-time link and return what a browser asks for."""
    answer = await program.post("/api/v1/session-links")
    assert answer.status_code == 201
    parts = urlsplit(answer.json()["url"])
    return f"{parts.path}?{parts.query}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {API_TOKEN}"},
        {"Authorization": f"Bearer {API_TOKEN}x"},
        {"Authorization": "Bearer scrape-token-for-tests"},
        {"Cookie": "autopilot_session_00000000=1.2.3"},
    ],
)
async def test_nothing_is_read_without_the_token_or_a_session(
    told: World, browser: Client, headers: dict[str, str]
) -> None:
    client = browser(told)
    for path in (
        "tasks",
        "tasks/t-done",
        "tasks/t-done/events",
        "tasks/t-done/evidence",
        "stages",
        "pulls",
        "events",
        "stream",
        "system",
        "mode",
        "alerts",
        "dead-letters",
        f"evidence/{'0' * 64}",
        "incidents",
        "incidents/inc-t-wrong",
        "incidents/inc-t-wrong/files/report.json",
    ):
        answer = await client.get(f"/api/v1/{path}", headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert "WWW-Authenticate" in answer.headers
    assert (await client.post("/api/v1/session-links", headers=headers)).status_code == 401


async def test_a_link_opens_one_session_once(told: World, browser: Client, program: Client) -> None:
    path = await link(program(told))
    client = browser(told)
    assert (await client.get("/")).status_code == 401
    opened = await client.get(path)
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert f"max-age={int(SESSION_LIFE.total_seconds())}" in cookie
    assert (await client.get("/")).status_code == 200
    assert (await client.get("/api/v1/tasks")).status_code == 200
    again = await browser(told).get(path)
    assert (again.status_code, again.headers.get("set-cookie")) == (403, None)


async def test_links_and_sessions_expire(scenes: World, browser: Client, program: Client) -> None:
    late = await link(program(scenes))
    scenes.clock.advance(LINK_LIFE.total_seconds())
    client = browser(scenes)
    assert (await client.get(late)).status_code == 403
    await client.get(await link(program(scenes)))
    assert (await client.get("/api/v1/mode")).status_code == 200
    scenes.clock.advance(SESSION_LIFE.total_seconds())
    assert (await client.get("/api/v1/mode")).status_code == 401


async def test_a_restart_ends_links_and_keeps_sessions(
    scenes: World, browser: Client, program: Client
) -> None:
    used, unused = await link(program(scenes)), await link(program(scenes))
    client = browser(scenes)
    cookies = (await client.get(used)).cookies
    await scenes.open()
    assert (await browser(scenes).get(used)).status_code == 403
    assert (await browser(scenes).get(unused)).status_code == 403
    restarted = browser(scenes)
    restarted.cookies = cookies
    assert (await restarted.get("/api/v1/mode")).status_code == 200


@pytest.mark.parametrize(
    "token", ["", "1", "a.b.c", "9999999999.x.", "9999999999.x.00", "é", "." * 400, "x" * 4000, "\x00"]
)
async def test_made_up_tokens_open_nothing(told: World, browser: Client, token: str) -> None:
    answer = await browser(told).get("/login", params={"token": token})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    client = browser(told)
    headers = {
        "Cookie": f"{told.running.parts.sessions.cookie}={token.encode().hex()}.{token.encode().hex()}"
    }
    assert (await client.get("/api/v1/mode", headers=headers)).status_code == 401


async def test_a_link_is_no_session_and_a_session_no_link(
    told: World, browser: Client, program: Client
) -> None:
    sessions = told.running.parts.sessions
    token, _ = sessions.make_link()
    as_cookie = {"Cookie": f"{sessions.cookie}={token}"}
    assert (await browser(told).get("/api/v1/mode", headers=as_cookie)).status_code == 401
    assert (await browser(told).get("/login", params={"token": sessions.begin()})).status_code == 403


async def test_a_session_writes_nothing(told: World, browser: Client, program: Client) -> None:
    client = browser(told)
    await client.get(await link(program(told)))
    assert (await client.post("/api/v1/session-links")).status_code == 401
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await client.request(method, "/api/v1/tasks")
        assert answer.status_code in (403, 405)


async def test_a_wrong_token_is_refused_even_with_a_session(
    told: World, browser: Client, program: Client
) -> None:
    client = browser(told)
    await client.get(await link(program(told)))
    assert (await client.get("/api/v1/mode", headers={"Authorization": "Bearer x"})).status_code == 401


async def test_neither_token_nor_key_reaches_a_page_or_a_link(
    told: World, browser: Client, program: Client
) -> None:
    client = browser(told)
    made = (await program(told).post("/api/v1/session-links")).text
    texts = [made, (await client.get("/")).text]
    opened = await client.get(made.split('"url":"http://127.0.0.1:8800')[1].split('"')[0])
    texts += [str(opened.headers), (await client.get("/")).text, (await client.get("/page/app.js")).text]
    for text in texts:
        assert API_TOKEN not in text
        assert SESSION_KEY not in text


async def test_two_stacks_on_one_host_do_not_share_a_cookie(told: World) -> None:
    other = Sessions("another key", told.clock)
    assert other.cookie != told.running.parts.sessions.cookie


async def test_every_answer_carries_the_security_headers(
    told: World, browser: Client, program: Client
) -> None:
    for answer in (
        await browser(told).get("/"),
        await browser(told).get("/login"),
        await browser(told).get("/page/base.css"),
        await browser(told).get("/page/nothing.js"),
        await browser(told).get("/api/v1/tasks"),
        await program(told).get("/api/v1/tasks"),
        await program(told).get("/api/v1/tasks?limit=x"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_page_needs_nothing_from_elsewhere(told: World, browser: Client) -> None:
    client = browser(told)
    for name in ("app.js", "base.css", "dom.js", "live.js", "icon.svg"):
        answer = await client.get(f"/page/{name}")
        assert answer.status_code == 200
        assert "https://" not in answer.text
        unchanged = await client.get(f"/page/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert unchanged.status_code == 304
    for name in ("index.html", "__init__.py", "..%2fapp.py"):
        assert (await client.get(f"/page/{name}")).status_code == 404
