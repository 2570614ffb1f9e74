"""The dashboard on a real socket, so that a browser can talk to it and lose it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import httpx
import uvicorn

from tests.integration.dashboard.world import API_TOKEN, World


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """A dashboard that listens; it can be stopped and started again on the same port."""

    def __init__(self, world: World) -> None:
        self.world = world
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        await self.world.open()
        config = uvicorn.Config(
            self.world.app,
            host="127.0.0.1",
            port=self.port,
            log_level="error",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            assert not self._serving.done()
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop listening and end every open answer."""
        if self._server is None or self._serving is None:
            return
        self.world.running.parts.feed.close()
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = None

    async def link(self) -> str:
        """Make a one-time link, as the command line does."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            answer = await client.post(
                "/api/v1/session-links", headers={"Authorization": f"Bearer {API_TOKEN}"}
            )
        return str(answer.json()["url"])
