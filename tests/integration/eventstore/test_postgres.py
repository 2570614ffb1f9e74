"""Postgres passes the cases of the record."""

from __future__ import annotations

import asyncpg
import pytest

from libs.testing.appendcase import Elapse
from libs.testing.storecase import StoreCase, Tamper


class TestPostgresStore(StoreCase):
    @pytest.fixture
    def elapse(self, superuser_dsn: str) -> Elapse:
        async def elapse(seconds: float) -> None:
            connection = await asyncpg.connect(superuser_dsn)
            await connection.execute("update lease set until = until - make_interval(secs => $1)", seconds)
            await connection.execute(
                "update outbox set inserted_at = inserted_at - make_interval(secs => $1)", seconds
            )
            await connection.close()

        return elapse

    @pytest.fixture
    def tamper(self, superuser_dsn: str) -> Tamper:
        async def tamper(stream: str, version: int) -> None:
            connection = await asyncpg.connect(superuser_dsn)
            await connection.execute("alter table events disable trigger events_unchangeable")
            await connection.execute(
                """update events set data = data || '{"count": 12}' where stream = $1 and version = $2""",
                stream,
                version,
            )
            await connection.close()

        return tamper
