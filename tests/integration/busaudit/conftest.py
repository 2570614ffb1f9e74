from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from libs.testing.nats import EmbeddedServer, TestNats
from libs.testing.postgres import TestPostgres, shared
from tests.integration.busaudit.house import TOPOLOGY, House


@pytest.fixture(scope="session")
def postgres() -> TestPostgres:
    return shared()


@pytest.fixture(scope="module")
def module_nats() -> Iterator[TestNats]:
    """A server that the tests of a module break, one after the other; its files are within reach."""
    nats = TestNats(EmbeddedServer(), TOPOLOGY)
    yield nats
    nats.server.dispose()


@pytest.fixture
async def house(postgres: TestPostgres, module_nats: TestNats) -> AsyncIterator[House]:
    """A service at work and an auditor, on an empty bus and an empty record."""
    module_nats.server.kill()
    module_nats.server.wipe()
    await module_nats.start()
    async with postgres.database() as name:
        house = await House.open(module_nats, postgres, name)
        try:
            yield house
        finally:
            await house.close()
