"""JetStream passes the cases of the bus."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from libs.messaging.bus import Bus
from libs.testing.buscase import BusCase
from libs.testing.nats import TestNats


class JetStreamWorld:
    """A real server; time passes by itself."""

    def __init__(self, nats: TestNats, services: object) -> None:
        self._nats, self._services = nats, services

    async def connect(self, service: str) -> Bus:
        return await self._services.connect(service)  # type: ignore[attr-defined, no-any-return]

    async def elapse(self, seconds: float) -> None:
        return

    async def inject(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:
        admin = await self._nats.admin()
        try:
            admin.send(subject, payload, headers=dict(headers) or None)
        finally:
            await admin.close()

    async def stop(self) -> None:
        self._nats.server.kill()

    async def start(self) -> None:
        await self._nats.start()

    async def wipe(self) -> None:
        self._nats.server.kill()
        self._nats.server.wipe()
        await self._nats.start()


class TestJetStreamBus(BusCase):
    @pytest.fixture
    async def world(self, nats: TestNats, services: object) -> JetStreamWorld:
        return JetStreamWorld(nats, services)
