from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from libs.eventstore.postgres import PostgresStore
from libs.testing.postgres import SUPERUSER, TestPostgres, shared
from libs.testing.samples import registry

pytest.register_assert_rewrite(
    "libs.testing.appendcase", "libs.testing.generationcase", "libs.testing.storecase"
)


@pytest.fixture(scope="session")
def postgres() -> TestPostgres:
    return shared()


@pytest.fixture
async def database(postgres: TestPostgres) -> AsyncIterator[str]:
    async with postgres.database() as name:
        yield name


@pytest.fixture
def dsn(postgres: TestPostgres, database: str) -> str:
    return postgres.dsn(database)


@pytest.fixture
def superuser_dsn(postgres: TestPostgres, database: str) -> str:
    return postgres.dsn(database, SUPERUSER)


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.connect(dsn, registry)
    yield store
    await store.close()
