"""The live stream: in order, without gaps, resumed where it broke off, and nobody waits for a slow client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from contracts.mode import ModeChanged
from contracts.workspace import WorkspaceRemoved
from libs.eventstore.store import Cursor
from services.dashboard.api import feed as feeds
from services.dashboard.api.feed import Feed, Frame
from tests.integration.dashboard.world import API_TOKEN, World

Client = Callable[[World], httpx.AsyncClient]


async def freed(world: World, task_id: str = "x") -> int:
    """Record something small and return its position."""
    return (await world.pen.write(WorkspaceRemoved(task_id=task_id, freed=1))).position


async def positions(frames: AsyncIterator[Frame], count: int) -> list[int]:
    """Take frames and return their positions."""
    async with asyncio.timeout(60):
        return [(await anext(frames)).recorded.position for _ in range(count)]


@pytest.fixture
def feed(world: World) -> Feed:
    """The feed of an empty record."""
    found: Feed = world.running.parts.feed
    return found


async def test_a_new_client_hears_what_comes_from_now_on(world: World, feed: Feed) -> None:
    for _ in range(3):
        await freed(world)
    async with aclosing(feed.events(None)) as frames:
        first = asyncio.ensure_future(positions(frames, 2))
        while feed.position < 3:
            await asyncio.sleep(0)
        for _ in range(2):
            await freed(world)
        assert await first == [4, 5]


@pytest.mark.parametrize("since", [0, 3, 9, 10])
async def test_a_client_resumes_behind_any_position(world: World, feed: Feed, since: int) -> None:
    for _ in range(10):
        await freed(world)
    async with aclosing(feed.events(since)) as frames:
        assert await positions(frames, 10 - since) == list(range(since + 1, 11))
        await freed(world)
        assert await positions(frames, 1) == [11]


async def test_what_is_recorded_while_a_client_catches_up_comes_once(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 3)
    for _ in range(7):
        await freed(world)
    async with aclosing(feed.events(0)) as frames:
        seen = []
        for _ in range(40):
            seen += await positions(frames, 1)
            if len(seen) <= 33:
                await freed(world)
    assert seen == list(range(1, 41))


async def test_a_slow_client_is_caught_up_from_the_record_and_holds_nobody_back(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "WAITING", 5)
    await freed(world)
    async with aclosing(feed.events(0)) as slow, aclosing(feed.events(0)) as quick:
        assert await positions(slow, 1) == await positions(quick, 1) == [1]
        for position in range(2, 52):
            await freed(world)
            assert await positions(quick, 1) == [position]
        assert await positions(slow, 50) == list(range(2, 52))


async def test_all_clients_share_one_tail(world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    tails: list[Cursor] = []
    tail = world.store.tail

    def counted(after: Cursor) -> Any:
        tails.append(after)
        return tail(after)

    monkeypatch.setattr(world.store, "tail", counted)
    await freed(world)
    async with aclosing(feed.events(0)) as one, aclosing(feed.events(0)) as other:
        await asyncio.gather(positions(one, 1), positions(other, 1))
        await freed(world)
        assert await positions(one, 1) == await positions(other, 1) == [2]
        assert feed.clients == 2
    assert len(tails) == 1
    assert feed.clients == 0


async def test_a_closed_feed_lets_every_client_go(world: World, feed: Feed) -> None:
    await freed(world)
    frames = feed.events(0)
    assert await positions(frames, 1) == [1]
    feed.close()
    assert [frame async for frame in frames] == []
    assert [frame async for frame in feed.events(0)] == []


async def test_a_tail_that_breaks_ends_the_streams_and_the_next_client_begins_anew(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(after: Cursor) -> AsyncIterator[Any]:
        raise OSError("gone")
        yield

    await freed(world)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "tail", broken)
        frames = feed.events(0)
        assert await positions(frames, 1) == [1]
        assert [frame async for frame in frames] == []
    async with aclosing(feed.events(1)) as frames:
        await freed(world)
        assert await positions(frames, 1) == [2]


class Listener:
    """A client of the stream, spoken to without a socket."""

    def __init__(self, world: World, query: str = "", **headers: str) -> None:
        given = {"authorization": f"Bearer {API_TOKEN}", **headers}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/api/v1/stream",
            "raw_path": b"/api/v1/stream",
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8800),
            "scheme": "http",
            "root_path": "",
        }
        self._gone = asyncio.Event()
        self._app = world.app
        self.messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.headers: dict[str, str] = {}
        self.status = 0

    async def __aenter__(self) -> Listener:
        self._task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await self._task

    async def next(self) -> dict[str, str]:
        """Return the next message's fields."""
        async with asyncio.timeout(60):
            return await self.messages.get()

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        for block in message.get("body", b"").decode().split("\r\n\r\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                await self.messages.put(fields)


async def test_a_message_is_named_and_numbered_as_in_the_record(world: World) -> None:
    position = await freed(world, "x")
    async with Listener(world, "since=0") as listener:
        message = await listener.next()
        assert (message["id"], message["event"]) == (str(position), "workspace_removed")
        data = json.loads(message["data"])
        assert data["data"] == {"type": "workspace_removed", "task_id": "x", "freed": 1}
        assert (data["stream"], data["version"], data["position"]) == ("workspace-x", 1, position)
        assert listener.headers["x-accel-buffering"] == "no"
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["x-content-type-options"] == "nosniff"


async def test_last_event_id_resumes_and_wins_over_since(world: World) -> None:
    for _ in range(4):
        await freed(world)
    async with Listener(world, "since=0", last_event_id="3") as listener:
        assert (await listener.next())["id"] == "4"


async def test_one_task_can_be_followed(world: World) -> None:
    await freed(world, "x")
    changed = ModeChanged(mode="minimal", before="normal", actor="ada", reason="")
    await world.pen.write(changed)
    await freed(world, "y")
    last = await freed(world, "x")
    async with Listener(world, "since=0&task=x") as listener:
        assert [(await listener.next())["id"] for _ in range(2)] == ["1", str(last)]


async def test_brief_news_says_only_what_happened_to_whom(world: World) -> None:
    await freed(world, "x")
    async with Listener(world, "since=0&brief=1") as listener:
        message = await listener.next()
        assert message["event"] == "news"
        assert json.loads(message["data"]) == {
            "position": 1,
            "type": "workspace_removed",
            "category": "workspace",
            "time": "2026-01-01T00:00:01Z",
            "task_id": "x",
        }


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "١", "9" * 30, " "])
async def test_a_last_event_id_that_is_no_position_is_refused(
    world: World, program: Client, given: str
) -> None:
    headers = {"Last-Event-ID": given.encode()}
    answer = await program(world).get("/api/v1/stream", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


async def test_too_many_clients_are_refused_and_told_to_come_back(
    world: World, program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.dashboard.api.record.MAX_CLIENTS", 0)
    answer = await program(world).get("/api/v1/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
