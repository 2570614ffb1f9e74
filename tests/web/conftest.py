"""One Chromium for all tests of the page; each test has a tab, a server and a record of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.dashboard.scenes import scenes_in
from tests.integration.dashboard.world import World
from tests.web.chromium import Browser, Page, chromium, find_chromium
from tests.web.server import Served
from tests.web.winding import record_winding


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A headless Chromium, if there is one on this machine."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine (install one, or name it in AUTOPILOT_CHROMIUM)")
    async with chromium(executable, tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A system in full swing with one task that took every turn, recorded and folded once."""

    async def tell() -> World:
        world = await scenes_in(tmp_path_factory.mktemp("scenes"))
        await record_winding(world.pen, world.data)
        await world.deliver()
        return world

    return asyncio.run(tell())


@pytest_asyncio.fixture(loop_scope="session")
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A dashboard that listens, with an empty record."""
    served = Served(World(tmp_path))
    await served.start()
    yield served
    await served.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def busy(told: World) -> AsyncIterator[Served]:
    """The same, in full swing."""
    served = Served(World(told.data, pen=told.pen.copy()))
    await served.start()
    yield served
    await served.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def still(told: World) -> AsyncIterator[Served]:
    """The same for all tests that only look."""
    served = Served(World(told.data, pen=told.pen.copy()))
    await served.start()
    yield served
    await served.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab of a browser that nobody has logged in."""
    page = await browser.new_page()
    await page.shape(1280)
    yield page
    await page.close()


@pytest.fixture
def no_complaints(page: Page) -> Callable[[], list[str]]:
    """Tells what the browser has complained about, but for a page without a session being refused."""

    def complaints() -> list[str]:
        return [said for said in page.complaints if "401 (Unauthorized)" not in said]

    return complaints
