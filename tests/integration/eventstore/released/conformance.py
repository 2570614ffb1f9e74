"""The released code's own cases of the record, on copies of a database that another release has migrated."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.eventstore.postgres import PostgresStore
from libs.testing.appendcase import Elapse
from libs.testing.samples import registry
from libs.testing.storecase import StoreCase, Tamper

SERVER, TEMPLATE = os.environ["RELEASED_SERVER"], os.environ["RELEASED_TEMPLATE"]
NUMBERS = itertools.count(1)


def dsn(user: str, database: str) -> str:
    return f"postgresql://{user}@{SERVER}/{database}"


async def as_root(database: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(dsn("postgres", database))
    await connection.execute(statement, *values)
    await connection.close()


class TestReleased(StoreCase):
    @pytest.fixture
    async def database(self) -> AsyncIterator[str]:
        name = f"released_{next(NUMBERS)}"
        await as_root("postgres", f"create database {name} template {TEMPLATE}")
        yield name
        await as_root("postgres", f"drop database {name} with (force)")

    @pytest.fixture
    async def store(self, database: str) -> AsyncIterator[PostgresStore]:
        store = await PostgresStore.connect(dsn("autopilot_service", database), registry)
        yield store
        await store.close()

    @pytest.fixture
    def elapse(self, database: str) -> Elapse:
        async def elapse(seconds: float) -> None:
            await as_root(database, "update lease set until = until - make_interval(secs => $1)", seconds)
            await as_root(
                database, "update outbox set inserted_at = inserted_at - make_interval(secs => $1)", seconds
            )

        return elapse

    @pytest.fixture
    def tamper(self, database: str) -> Tamper:
        async def tamper(stream: str, version: int) -> None:
            await as_root(database, "alter table events disable trigger events_unchangeable")
            await as_root(
                database,
                """update events set data = data || '{"count": 12}' where stream = $1 and version = $2""",
                stream,
                version,
            )

        return tamper
