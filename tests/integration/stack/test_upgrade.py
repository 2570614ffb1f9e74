"""A data directory in which the services shared one database role starts, and the role is retired."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import asyncpg
import msgspec
import pytest

from autopilot import wiring
from autopilot.stack import secrets
from autopilot.stack.cluster import SUPERUSER
from autopilot.stack.config import OWNER_ROLE, SERVICE_ROLE, SERVICES, StackConfig, role_of
from autopilot.stack.stack import Stack
from tests.integration.stack.fakes import fake_service, hooks

RELEASED = Path(__file__).parents[1] / "eventstore" / "released" / "record.zip"


async def as_it_was(config: StackConfig, released: Path) -> None:
    """Turn what the present stack has made into what the release before would have left."""
    stored = secrets.load_or_create(config.secrets_dir)
    root = await asyncpg.connect(config.dsn(SUPERUSER, stored.postgres_superuser), ssl=False)
    # The stand-in for the record that the fixture has made.
    await root.execute("drop table events")
    script = "import asyncio, sys; from libs.eventstore.migrate import migrate; asyncio.run(migrate(*sys.argv[1:]))"
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, config.dsn(OWNER_ROLE, stored.postgres_owner), SERVICE_ROLE],
        env={**os.environ, "PYTHONPATH": str(released)},
        cwd=released,
        check=True,
        capture_output=True,
        timeout=300,
    )
    await root.execute(f"alter role {SERVICE_ROLE} login password 'shared'")
    await root.execute(f"grant connect on database autopilot to {SERVICE_ROLE}")
    for role in map(role_of, SERVICES):
        await root.execute(f"drop owned by {role}")
        await root.execute(f"drop role {role}")
    await root.close()
    for name in SERVICES:
        (config.secrets_dir / f"postgres-{name}").unlink()
    (config.secrets_dir / "nats-observer").unlink()
    secrets.write_private(config.secrets_dir / "postgres-service", "shared\n")
    (await asyncpg.connect(config.dsn(SERVICE_ROLE, "shared"), ssl=False)).terminate()


@pytest.fixture
async def former(used: StackConfig, tmp_path: Path) -> StackConfig:
    with zipfile.ZipFile(RELEASED) as archive:
        archive.extractall(tmp_path / "released")
    stack = Stack(used, hooks(), make_service=fake_service)
    await stack.start()
    await as_it_was(stack.config, tmp_path / "released")
    await stack.stop()
    return used


async def test_each_service_gets_its_role_and_the_shared_one_is_shut_out(former: StackConfig) -> None:
    ours = wiring.hooks()
    present = msgspec.structs.replace(hooks(), migrate=ours.migrate, finish_migration=ours.finish_migration)
    for start in (1, 2):
        stack = Stack(former, present, make_service=fake_service)
        await stack.start()
        stored = secrets.load_or_create(former.secrets_dir)
        for name in SERVICES:
            connection = await asyncpg.connect(
                stack.config.dsn(role_of(name), stored.postgres[name]), ssl=False
            )
            assert await connection.fetchval("select own_rights() -> 'service' ->> 0") == name
            await connection.close()
        with pytest.raises(asyncpg.PostgresError) as refused:
            await asyncpg.connect(stack.config.dsn(SERVICE_ROLE, "shared"), ssl=False)
        # First the database is closed to it, at the next start its login.
        assert isinstance(refused.value, asyncpg.InsufficientPrivilegeError) == (start == 1)
        await stack.stop()
    assert not (former.secrets_dir / "postgres-service").exists()
