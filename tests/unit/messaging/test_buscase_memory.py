"""The in-memory twin passes the cases of the bus."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from libs.messaging.bus import Bus
from libs.messaging.memory import MemoryBus, MemoryServer
from libs.testing.buscase import TOPOLOGY, BusCase
from libs.testing.clock import ManualClock
from libs.testing.samples import registry


class MemoryWorld:
    """A server in memory; its clock is moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.server = MemoryServer(TOPOLOGY, self.clock)

    async def connect(self, service: str) -> Bus:
        return MemoryBus(self.server, registry, service)

    async def elapse(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.server.wake()

    async def inject(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:
        self.server.inject(subject, headers, payload)

    async def stop(self) -> None:
        self.server.available = False
        self.server.wake()

    async def start(self) -> None:
        self.server.available = True
        self.server.wake()

    async def wipe(self) -> None:
        self.server.wipe()
        self.server.ensure(TOPOLOGY)


class TestMemoryBus(BusCase):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
