"""When a migration is applied: `pre` before the new code starts, `post` when nobody is connected who does not know it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from libs.eventstore import migrate as module
from libs.eventstore.migrate import MigrationError, OldCodeConnectedError, application_name, finish, migrate
from libs.testing.postgres import OWNER, SERVICE, TestPostgres


@pytest.fixture
async def database(postgres: TestPostgres) -> AsyncIterator[str]:
    """A database without a schema."""
    async with postgres.database("template1") as name:
        yield name


@pytest.fixture
def owner(postgres: TestPostgres, database: str) -> str:
    return postgres.dsn(database, OWNER)


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The schema's migrations, to which a test may add."""
    copy = tmp_path / "postgres"
    shutil.copytree(module.SCHEMA, copy)
    monkeypatch.setattr(module, "SCHEMA", copy)
    return copy / "migrations"


def add(migrations: Path, *names: str) -> None:
    for name in names:
        (migrations / f"{name}.sql").write_text(f"create table t{name[:4]} ();")


async def applied(owner: str) -> list[str]:
    connection = await asyncpg.connect(owner)
    try:
        rows = await connection.fetch(
            "select name from schema_file where name ~ '^9' order by applied_at, name"
        )
        return [row["name"] for row in rows]
    finally:
        await connection.close()


@asynccontextmanager
async def connected(postgres: TestPostgres, database: str, application: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(
        postgres.dsn(database, SERVICE), server_settings={"application_name": application}
    )
    try:
        yield
    finally:
        await connection.close()


async def test_a_new_database_gets_everything_at_once(owner: str, migrations: Path) -> None:
    add(migrations, "9001_post_a", "9002_pre_b", "9003_post_c")
    await migrate(owner, SERVICE)
    assert await applied(owner) == ["9001_post_a", "9002_pre_b", "9003_post_c"]
    assert await finish(owner) == ()


async def test_an_upgrade_gets_what_is_added_before_and_what_is_taken_after(
    owner: str, migrations: Path
) -> None:
    await migrate(owner, SERVICE)
    add(migrations, "9001_pre_a", "9002_pre_b", "9003_post_c", "9004_post_d")
    await migrate(owner, SERVICE)
    assert await applied(owner) == ["9001_pre_a", "9002_pre_b"]
    assert await finish(owner) == ()
    assert await applied(owner) == ["9001_pre_a", "9002_pre_b", "9003_post_c", "9004_post_d"]


@pytest.mark.parametrize("old", ["autopilot", "autopilot 0006_post_shared_role", "autopilot 9001_pre_a"])
async def test_it_waits_for_processes_that_do_not_know_it(
    postgres: TestPostgres, database: str, owner: str, migrations: Path, old: str
) -> None:
    await migrate(owner, SERVICE)
    add(migrations, "9001_pre_a", "9002_post_b", "9003_post_c")
    await migrate(owner, SERVICE)
    async with connected(postgres, database, "autopilot 9003_post_c"):
        async with connected(postgres, database, old):
            assert await finish(owner) == ("9002_post_b", "9003_post_c")
            assert await applied(owner) == ["9001_pre_a"]
        async with connected(postgres, database, "autopilot 9002_post_b"):
            assert await finish(owner) == ("9003_post_c",)
        assert await finish(owner) == ()


@pytest.mark.parametrize("somebody", ["psql", "", "autopilots"])
async def test_it_does_not_wait_for_others(
    postgres: TestPostgres, database: str, owner: str, migrations: Path, somebody: str
) -> None:
    await migrate(owner, SERVICE)
    add(migrations, "9001_post_a")
    async with connected(postgres, database, somebody):
        assert await finish(owner) == ()


async def test_what_an_earlier_release_left_for_later_comes_before_what_this_one_needs(
    postgres: TestPostgres, database: str, owner: str, migrations: Path
) -> None:
    await migrate(owner, SERVICE)
    add(migrations, "9001_pre_a", "9002_post_b", "9003_pre_c", "9004_post_d")
    async with connected(postgres, database, "autopilot 9001_pre_a"):
        # Two releases at once, while the first of the three is at work.
        with pytest.raises(OldCodeConnectedError) as refused:
            await migrate(owner, SERVICE)
        assert refused.value.name == "9002_post_b"
    async with connected(postgres, database, "autopilot 9002_post_b"):
        await migrate(owner, SERVICE)
        assert await applied(owner) == ["9001_pre_a", "9002_post_b", "9003_pre_c"]
        assert await finish(owner) == ("9004_post_d",)
    assert await finish(owner) == ()


async def test_nothing_is_finished_before_it_is_begun(owner: str, migrations: Path) -> None:
    await migrate(owner, SERVICE)
    add(migrations, "9001_pre_a", "9002_post_b")
    assert await finish(owner) == ("9001_pre_a", "9002_post_b")
    assert await applied(owner) == []


async def test_a_migration_without_a_phase_is_refused(owner: str, migrations: Path) -> None:
    add(migrations, "9001_later_a")
    with pytest.raises(MigrationError, match="NNNN_pre_NAME or NNNN_post_NAME, not 9001_later_a"):
        await migrate(owner, SERVICE)
    assert await applied(owner) == []


def test_connections_are_called_after_the_last_migration_that_their_code_knows() -> None:
    last = max(path.stem for path in (module.SCHEMA / "migrations").iterdir())
    assert application_name() == f"autopilot {last}"
