"""The dashboard on a real socket, so that a browser can talk to it and lose it; and the task API that it asks."""

from __future__ import annotations

import httpx

from tests.integration.dashboard.listening import Listening
from tests.integration.dashboard.taskapi import TaskApi
from tests.integration.dashboard.world import API_TOKEN, World


class Served:
    """A dashboard that listens; it can be stopped and started again on the same port."""

    def __init__(self, world: World) -> None:
        self.world, self.tasks = world, TaskApi(world)
        self._listening = Listening()

    @property
    def url(self) -> str:
        return self._listening.url

    async def start(self) -> None:
        """Listen."""
        await self.tasks.start()
        await self.tasks.open()
        await self._listening.start(self.world.app)

    async def stop(self) -> None:
        """Stop listening and end every open answer."""
        self.world.running.parts.feed.close()
        await self._listening.stop()
        await self.tasks.stop()

    async def link(self) -> str:
        """Make a one-time link, as the command line does."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            answer = await client.post(
                "/api/v1/session-links", headers={"Authorization": f"Bearer {API_TOKEN}"}
            )
        return str(answer.json()["url"])
