from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

pytest.register_assert_rewrite("libs.testing.buscase")

from libs.messaging.connection import Connection  # noqa: E402
from libs.messaging.jetstream import JetStreamBus  # noqa: E402
from libs.testing.buscase import TOPOLOGY  # noqa: E402
from libs.testing.nats import PASSWORD, TestNats, make_server, shared  # noqa: E402
from libs.testing.samples import registry  # noqa: E402


class Services:
    """Connects services to a server and closes what it opened."""

    def __init__(self, nats: TestNats) -> None:
        self.nats = nats
        self._open: list[JetStreamBus] = []

    async def connect(self, service: str, *, stall_s: float = 5.0) -> JetStreamBus:
        bus = await JetStreamBus.connect(
            self.nats.url,
            user=service,
            password=PASSWORD,
            registry=registry,
            service=service,
            stall_s=stall_s,
        )
        self._open.append(bus)
        return bus

    async def close(self) -> None:
        for bus in self._open:
            await bus.close()


@pytest.fixture(scope="session")
def session_nats() -> TestNats:
    return shared(TOPOLOGY)


@pytest.fixture
async def nats(session_nats: TestNats) -> TestNats:
    """The session's server, emptied."""
    await session_nats.empty()
    return session_nats


@pytest.fixture
async def services(nats: TestNats) -> AsyncIterator[Services]:
    services = Services(nats)
    yield services
    await services.close()


@pytest.fixture
async def admin(nats: TestNats) -> AsyncIterator[Connection]:
    """A connection that may do everything."""
    connection = await nats.admin()
    yield connection
    await connection.close()


@pytest.fixture
def own_nats() -> Iterator[TestNats]:
    """A server of the test's own, not started, to do with as it likes."""
    nats = TestNats(make_server(), TOPOLOGY)
    yield nats
    nats.server.dispose()
