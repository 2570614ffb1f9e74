"""A record in a real Postgres, and one that a real sealer has sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.eventstore.postgres import PostgresStore
from libs.testing.postgres import TestPostgres, shared
from libs.testing.samples import registry
from tests.integration.journal.scene import Journal


@pytest.fixture(scope="session")
def postgres() -> TestPostgres:
    return shared()


@pytest.fixture
async def journal(postgres: TestPostgres, tmp_path: Path) -> AsyncIterator[Journal]:
    async with postgres.database() as database:
        store = await PostgresStore.connect(postgres.dsn(database), registry)
        made = Journal(postgres, database, tmp_path, store)
        yield made
        await store.close()
        if made.connections is not None:
            await made.connections.close()


@pytest.fixture
async def sealed(journal: Journal) -> Journal:
    """Two checkpoints: positions 1 to 4 and 5 to 9, over the streams case-a, case-b and side-c."""
    sealer = await journal.sealer()
    await journal.note("a", "one", "two")
    await journal.note("b", "one")
    await journal.aside("c")
    await sealer.step()
    await journal.note("a", "three", "four")
    await journal.note("b", "two", "three", close=True)
    await sealer.step()
    return journal
