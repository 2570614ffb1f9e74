"""Brings a database's schema forward: migrations once and in order, functions and grants whenever their text changes.

MigrationError
├── MigrationChangedError   a migration that has been applied reads differently now
└── SchemaTooNewError       the database has a migration that this release does not know
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import asyncpg
import structlog

log = structlog.get_logger(__name__)

SCHEMA = Path(__file__).resolve().parents[2] / "infra" / "postgres"
#: Seconds: to connect, and for one statement, waiting for another migration included.
CONNECT_S, STATEMENT_S = 10.0, 60.0
#: Key of the advisory lock; any constant of our own.
_LOCK = 0x6175_746F_7069
_INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)
_APPLIED = """
create table if not exists schema_file (
    name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp()
)
"""


class MigrationError(Exception):
    """The schema cannot be brought forward."""


class MigrationChangedError(MigrationError):
    """An applied migration was edited; write a new one instead."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"migration {name} has been applied and reads differently now; write a new one instead"
        )
        self.name = name


class SchemaTooNewError(MigrationError):
    """The database belongs to a later release."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the database has migration {name}, which this release does not know")
        self.name = name


async def migrate(dsn_owner: str, service_role: str) -> None:
    """Migrate as the owner of the database; the services' role must exist. Twice is once, side by side is in turn.

    A process that dies in between leaves whole files applied, and the next call goes on. Raises MigrationError,
    `asyncpg.PostgresError`, OSError.
    """
    connection = await asyncpg.connect(
        dsn_owner,
        timeout=CONNECT_S,
        command_timeout=STATEMENT_S,
        server_settings={"application_name": "migrate"},
    )
    try:
        # Lost with the connection, so a killed migration blocks nobody.
        await connection.execute(f"select pg_advisory_lock({_LOCK})")
        await _bring_forward(connection, service_role)
    finally:
        await connection.close(timeout=CONNECT_S)


async def _bring_forward(connection: asyncpg.Connection[asyncpg.Record], service_role: str) -> None:
    await connection.execute(_APPLIED)
    applied = {
        row["name"]: row["checksum"]
        for row in await connection.fetch("select name, checksum from schema_file")
    }
    migrations = {path.stem: _text(path) for path in sorted((SCHEMA / "migrations").glob("*.sql"))}
    for name, checksum in applied.items():
        if name.startswith(("function ", "grants ")):
            continue
        if name not in migrations:
            raise SchemaTooNewError(name)
        if checksum != _checksum(migrations[name]):
            raise MigrationChangedError(name)
    for name, text in migrations.items():
        if name not in applied:
            await _apply(connection, name, text)
    functions = {
        f"function {path.stem}": _text(path) for path in sorted((SCHEMA / "functions").glob("*.sql"))
    }
    quoted = '"' + service_role.replace('"', '""') + '"'
    grants = _text(SCHEMA / "grants.sql").replace(':"service_role"', quoted)
    for name, text in {**functions, f"grants {service_role}": grants}.items():
        if applied.get(name) != _checksum(text):
            await _apply(connection, name, text)


async def _apply(connection: asyncpg.Connection[asyncpg.Record], name: str, text: str) -> None:
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute(
            "insert into schema_file (name, checksum) values ($1, $2)"
            " on conflict (name) do update set checksum = excluded.checksum, applied_at = clock_timestamp()",
            name,
            _checksum(text),
        )
    log.info("schema_file_applied", name=name)


def _text(path: Path) -> str:
    """Read a file and what it includes with psql's `\\ir`."""
    text = path.read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: _text(path.parent / found.group(1)), text)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
