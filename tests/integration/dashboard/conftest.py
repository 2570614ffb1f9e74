"""One dashboard over memory twins for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.dashboard.scenes import scenes_in
from tests.integration.dashboard.world import API_TOKEN, World


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A system in full swing, recorded and folded once for all tests that only read."""
    return asyncio.run(scenes_in(tmp_path_factory.mktemp("scenes")))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An empty record and a dashboard that serves it."""
    world = World(tmp_path)
    await world.open()
    yield world
    world.running.parts.feed.close()


@pytest.fixture
async def scenes(told: World) -> AsyncIterator[World]:
    """The same for a test that goes on from there."""
    world = World(told.data, pen=told.pen.copy())
    await world.open()
    yield world
    world.running.parts.feed.close()


@pytest.fixture
async def program() -> AsyncIterator[Callable[[World], httpx.AsyncClient]]:
    """Makes a program that holds the API token."""
    async with AsyncExitStack() as stack:
        yield lambda world: _client(world, stack, {"Authorization": f"Bearer {API_TOKEN}"})


@pytest.fixture
async def browser() -> AsyncIterator[Callable[[World], httpx.AsyncClient]]:
    """Makes a browser: it holds cookies and knows no token."""
    async with AsyncExitStack() as stack:
        yield lambda world: _client(world, stack, {})


def _client(world: World, stack: AsyncExitStack, headers: dict[str, str]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=world.app)
    client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8800", headers=headers)
    stack.push_async_callback(client.aclose)
    return client
