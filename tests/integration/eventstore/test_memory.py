"""The in-memory twin passes the cases of the record."""

from __future__ import annotations

import msgspec
import pytest

from libs.eventstore.memory import MemoryStore
from libs.testing.appendcase import Elapse
from libs.testing.clock import ManualClock
from libs.testing.samples import registry
from libs.testing.storecase import StoreCase, Tamper


class TestMemoryStore(StoreCase):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def store(self, clock: ManualClock) -> MemoryStore:
        return MemoryStore(registry, clock)

    @pytest.fixture
    def elapse(self, clock: ManualClock) -> Elapse:
        async def elapse(seconds: float) -> None:
            clock.advance(seconds)

        return elapse

    @pytest.fixture
    def tamper(self, store: MemoryStore) -> Tamper:
        async def tamper(stream: str, version: int) -> None:
            at = store._streams[stream][version - 1] - 1
            row = store._rows[at]
            store._rows[at] = msgspec.structs.replace(row, data=row.data.replace(b'"count":', b'"count":1'))

        return tamper
