"""The real task API over a dashboard's record, on a real socket: what the dashboard asks the scheduler."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from libs.eventstore.store import LeaseClaim
from libs.runtime import http
from libs.runtime.clock import RandomIds
from libs.runtime.running import Running
from services.scheduler.app import service
from tests.integration.dashboard.listening import Listening
from tests.integration.dashboard.world import API_TOKEN, World, nothing, ready


class TaskApi:
    """A scheduler that leads and answers; the bus does not reach it."""

    def __init__(self, world: World) -> None:
        self.world, self.listening = world, Listening()

    async def start(self) -> None:
        """Listen, and have the dashboard ask here from its next start on."""
        world = self.world
        config = msgspec.structs.replace(
            world.running.config, service="scheduler", config_memory_scope="none"
        )
        running = Running(
            service,
            config=config,
            store=world.store,
            bus=world.bus,  # type: ignore[arg-type]
            clock=world.clock,
            ids=RandomIds(),
            publish=nothing,
        )
        self.running = running
        lease = await world.store.acquire("scheduler", "scheduler-1", 3_600, takeover=True)
        assert lease is not None
        running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
        await self.listening.start(http.build(running, ready))
        world.running.config = msgspec.structs.replace(world.running.config, scheduler_url=self.listening.url)

    async def open(self) -> None:
        """Start the dashboard that asks here, with patience: the machine may be busy."""
        await self.world.open()
        self.world.running.parts.waits.timeout_s = 60.0

    async def stop(self) -> None:
        """Be gone."""
        await self.listening.stop()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call it as a program does; it must be fine."""
        headers = {"Authorization": f"Bearer {API_TOKEN}", "X-Actor": "ann"}
        async with httpx.AsyncClient(base_url=self.listening.url, headers=headers) as client:
            answer = await client.request(method, path, json=body)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    async def submit(self, title: str, **values: Any) -> str:
        """Submit a task of no-op stages; return its id."""
        given = {"title": title, "engine": "noop", "synthetic": True, "repos": [{"name": "r", "url": "/r"}]}
        return str((await self.call("POST", "/v1/tasks", {**given, **values}))["id"])
