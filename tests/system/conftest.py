"""The services in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from contracts.task import StageRequested
from libs.runtime.service import Service
from libs.testing.world import World
from tests.system.shop import Shop, require_sandbox
from tests.system.twin import Answer, Script, honest, scripted
from tests.system.walking import CORE, SERVICES, api_of, opened

Make = Callable[..., Awaitable[World]]


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Logs are kept, not drawn: a traceback in colours takes longer than the test."""
    with capture_logs():
        yield


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes worlds, each over a directory of its own, with all their services started; the first one's is `data`."""
    async with AsyncExitStack() as stack:
        made = 0

        async def one(services: tuple[Service, ...] = CORE) -> World:
            nonlocal made
            made += 1
            place = tmp_path / ("data" if made == 1 else f"data-{made}")
            return await stack.enter_async_context(opened(services, place))

        yield one


@pytest.fixture
async def world(make: Make) -> World:
    """All seven services, started."""
    return await make(SERVICES)


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The scheduler's API."""
    async with api_of(world) as client:
        yield client


@pytest.fixture
def acted(make: Make) -> Callable[[Script], Awaitable[World]]:
    """Makes a world whose stages answer from a script."""

    async def one(script: Script) -> World:
        return await make(scripted(script))

    return one


@pytest.fixture
def going() -> set[str]:
    """Tasks whose stages end; those of all others take for ever."""
    return set()


@pytest.fixture
async def stepwise(acted: Callable[[Script], Awaitable[World]], going: set[str]) -> World:
    """Services whose stages end for the tasks that a test lets go."""

    def script(request: StageRequested) -> Answer:
        return honest(request) if request.task_id in going else None

    return await acted(script)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A user's repository; skips, with the reason, where commands cannot be shut in."""
    require_sandbox()
    return Shop(tmp_path / "the user's shop")
