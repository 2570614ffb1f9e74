"""The schema: migrated once, in turn, forward only; events unchangeable for everybody."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from libs.eventstore import migrate as module
from libs.eventstore.migrate import MigrationChangedError, SchemaTooNewError, migrate
from libs.eventstore.postgres import PostgresStore
from libs.testing.postgres import OWNER, SERVICE, SUPERUSER, TestPostgres
from libs.testing.samples import Noted, first, fresh, plain


@pytest.fixture
async def empty(postgres: TestPostgres) -> AsyncIterator[str]:
    """A database without a schema, by its name."""
    async with postgres.database("template1") as name:
        yield name


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the schema's files that a test may edit."""
    copy = tmp_path / "postgres"
    shutil.copytree(module.SCHEMA, copy)
    monkeypatch.setattr(module, "SCHEMA", copy)
    return copy


async def applied(dsn: str) -> dict[str, object]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select name, applied_at from schema_file order by name")
        return {row["name"]: row["applied_at"] for row in rows}
    finally:
        await connection.close()


async def test_migrating_twice_or_side_by_side_is_once(postgres: TestPostgres, empty: str) -> None:
    dsn = postgres.dsn(empty, OWNER)
    await asyncio.gather(*(migrate(dsn, SERVICE) for _ in range(4)))
    before = await applied(dsn)
    await migrate(dsn, SERVICE)
    assert await applied(dsn) == before
    assert "0001_pre_record" in before
    assert f"grants {SERVICE}" in before


async def test_edited_function_is_applied_again_and_nothing_else(
    postgres: TestPostgres, empty: str, schema: Path
) -> None:
    dsn = postgres.dsn(empty, OWNER)
    await migrate(dsn, SERVICE)
    before = await applied(dsn)
    path = schema / "functions" / "announce.sql"
    path.write_text(path.read_text() + "\n-- edited\n")
    await migrate(dsn, SERVICE)
    after = await applied(dsn)
    assert {name for name in after if after[name] != before[name]} == {"function announce"}


async def test_edited_migration_is_refused(postgres: TestPostgres, empty: str, schema: Path) -> None:
    dsn = postgres.dsn(empty, OWNER)
    await migrate(dsn, SERVICE)
    path = schema / "tables" / "lease.sql"
    path.write_text(path.read_text().replace("holder text", "holder varchar"))
    with pytest.raises(MigrationChangedError) as refused:
        await migrate(dsn, SERVICE)
    assert refused.value.name == "0001_pre_record"


async def test_failing_migration_leaves_nothing_of_itself(
    postgres: TestPostgres, empty: str, schema: Path
) -> None:
    dsn = postgres.dsn(empty, OWNER)
    (schema / "migrations" / "0002_pre_broken.sql").write_text("create table extra (n int); select 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(dsn, SERVICE)
    assert list(await applied(dsn)) == ["0001_pre_record"]
    (schema / "migrations" / "0002_pre_broken.sql").write_text("create table extra (n int);")
    await migrate(dsn, SERVICE)
    assert "0002_pre_broken" in await applied(dsn)


async def test_older_release_refuses_a_newer_schema(postgres: TestPostgres, empty: str, schema: Path) -> None:
    dsn = postgres.dsn(empty, OWNER)
    later = schema / "migrations" / "0002_pre_later.sql"
    later.write_text("select 1;")
    await migrate(dsn, SERVICE)
    later.unlink()
    with pytest.raises(SchemaTooNewError) as refused:
        await migrate(dsn, SERVICE)
    assert refused.value.name == "0002_pre_later"


@pytest.mark.parametrize("user", [SERVICE, OWNER, SUPERUSER])
@pytest.mark.parametrize(
    "change", ["update events set version = version", "delete from events", "truncate events"]
)
async def test_events_cannot_be_changed(
    postgres: TestPostgres, store: PostgresStore, database: str, user: str, change: str
) -> None:
    await store.append(plain(first(Noted(case_id=fresh()))))
    connection = await asyncpg.connect(postgres.dsn(database, user))
    try:
        if user == SUPERUSER:
            await connection.execute("set session_replication_role = replica")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
        assert await connection.fetchval("select count(*) from events") == 1
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "drop table events",
        "alter table events disable trigger all",
        "set session_replication_role = replica",
        "create table mine (n int)",
        "delete from lease",
        "delete from inbox",
        "delete from streams",
        "truncate outbox",
        "update outbox set service = 'other'",
        "update schema_file set checksum = ''",
    ],
)
async def test_services_may_do_no_more_than_they_need(dsn: str, change: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
    finally:
        await connection.close()


async def test_forgotten_transaction_is_ended_within_seconds(dsn: str, store: PostgresStore) -> None:
    settings = await store._connections.fetch(
        "select name, setting from pg_settings where name in"
        " ('idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout')"
    )
    assert {row["name"]: int(row["setting"]) for row in settings} == {
        "idle_in_transaction_session_timeout": 1_000,
        "statement_timeout": 8_000,
        "lock_timeout": 5_000,
    }
