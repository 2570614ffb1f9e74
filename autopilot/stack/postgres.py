"""The embedded database: launch, readiness, and the roles that others log in with."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from autopilot.stack import cluster
from autopilot.stack.child import Child
from autopilot.stack.config import (
    DATABASE,
    OWNER_ROLE,
    POSTGRES,
    READER_ROLE,
    SERVICE_ROLE,
    SERVICES,
    StackConfig,
    role_of,
)
from autopilot.stack.errors import PartFailedError
from autopilot.stack.secrets import Secrets

_CONNECT_TIMEOUT_S = 2.0
_COMMAND_TIMEOUT_S = 10.0
#: Longer than anybody waits who limits the time himself.
_PATIENCE_S = 60.0


def child(config: StackConfig, secrets: Secrets, env: Mapping[str, str], sockets: Path) -> Child:
    """Describe the server to the supervisor; the cluster is there already and configured."""
    roles_are_set = False

    async def ready() -> bool:
        nonlocal roles_are_set
        connection = await connect(config, secrets)
        if connection is None:
            return False
        try:
            if not roles_are_set:
                await set_up(connection, secrets)
                roles_are_set = True
            return True
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
            return False
        finally:
            connection.terminate()

    async def alive() -> bool:
        try:
            connection = await _log_in(config, secrets, _PATIENCE_S)
        except asyncpg.PostgresError:
            # A refusal is an answer: it starts, recovers, stops, or is full.
            return True
        except (OSError, asyncpg.InterfaceError):
            return False
        connection.terminate()
        return True

    async def reclaim() -> None:
        await cluster.reclaim(config, sockets)

    return Child(
        name=POSTGRES,
        argv=(str(cluster.program("postgres")), "-D", str(config.postgres_dir)),
        env=env,
        cwd=config.data_dir,
        log_file=config.log_file(POSTGRES),
        ready=ready,
        alive=alive,
        reclaim=reclaim,
        # Fast: open transactions are rolled back, then the last checkpoint has its time. Immediate after that: a
        # fast stop that meets the restart after a worker's crash waits for ever (18.6), and leaves recovery anyway.
        stop_signals=((signal.SIGINT, 8.0), (signal.SIGQUIT, 5.0)),
        # Immediate: the server kills its own children and leaves the rest to recovery.
        orphan_signal=signal.SIGQUIT,
        never_root=True,
    )


async def connect(config: StackConfig, secrets: Secrets) -> asyncpg.Connection | None:
    """Log in as superuser; None while the server is not there yet or recovers. Raises `PartFailedError`."""
    try:
        return await _log_in(config, secrets, _CONNECT_TIMEOUT_S)
    except asyncpg.InvalidPasswordError as error:
        reason = (
            f"{config.secrets_dir / 'postgres-superuser'} is not the password that this cluster was made with"
        )
        raise PartFailedError(POSTGRES, reason) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


async def _log_in(config: StackConfig, secrets: Secrets, timeout_s: float) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=config.host(POSTGRES),
        port=config.ports[POSTGRES],
        user=cluster.SUPERUSER,
        password=secrets.postgres_superuser,
        database="postgres",
        ssl=False,
        timeout=timeout_s,
        command_timeout=_COMMAND_TIMEOUT_S,
    )


async def set_up(connection: asyncpg.Connection, secrets: Secrets) -> None:
    """Make the database and its roles if they are missing, and set their passwords; twice is once."""
    # A failing statement is logged with its text, and these hold passwords.
    await connection.execute("SET log_min_error_statement = 'panic'")
    if not await _exists(connection, SERVICE_ROLE):
        await connection.execute(f"CREATE ROLE {SERVICE_ROLE}")
    passwords = {
        OWNER_ROLE: secrets.postgres_owner,
        READER_ROLE: secrets.postgres_reader,
        **{role_of(name): password for name, password in secrets.postgres.items()},
    }
    for role, password in passwords.items():
        if not await _exists(connection, role):
            await connection.execute(f"CREATE ROLE {role} LOGIN")
        # A statement like this takes no parameters, so the server quotes them.
        await connection.execute(
            await connection.fetchval(
                "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, password
            )
        )
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")
    await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
    if not await connection.fetchval(
        "SELECT has_database_privilege($1, $2, 'connect')", SERVICE_ROLE, DATABASE
    ):
        # The services logged in as it once, until migration 0006 took the database from it.
        await connection.execute(f"ALTER ROLE {SERVICE_ROLE} NOLOGIN PASSWORD NULL")
    for role in map(role_of, SERVICES):
        await connection.execute(f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '1s'")
        await connection.execute(f"GRANT {SERVICE_ROLE} TO {role}")
        await connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {role}")
    # All rows of all tables, whatever policies say to others, and nothing else.
    await connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {READER_ROLE}")
    await connection.execute(f"ALTER ROLE {READER_ROLE} BYPASSRLS")
    await connection.execute(f"ALTER ROLE {READER_ROLE} SET default_transaction_read_only = 'on'")
    await connection.execute(f"GRANT pg_read_all_data TO {READER_ROLE}")


async def _exists(connection: asyncpg.Connection, role: str) -> bool:
    return bool(await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role))
