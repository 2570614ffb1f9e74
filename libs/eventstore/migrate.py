"""Brings a database's schema forward: migrations once and in order, functions, grants and rights whenever they change.

`docs/migrations.md` tells what belongs into which phase, and when each runs.

MigrationError
├── MigrationChangedError   a migration that has been applied reads differently now
├── SchemaTooNewError       the database has a migration that this release does not know
└── OldCodeConnectedError   a migration must wait until processes of an older release are gone
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TypeAlias

import asyncpg
import structlog

from libs.eventstore.rights import Rights, everything, statement

log = structlog.get_logger(__name__)

SCHEMA = Path(__file__).resolve().parents[2] / "infra" / "postgres"
#: What our connections are called, followed by the last migration that their code knows.
APPLICATION = "autopilot"
#: Seconds: to connect, and for one statement, waiting for another migration included.
CONNECT_S, STATEMENT_S = 10.0, 60.0
#: Key of the advisory lock; any constant of our own.
_LOCK = 0x6175_746F_7069
_INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)
_NAME = re.compile(r"\d{4}_(pre|post)_\w+")
_APPLIED = """
create table if not exists schema_file (
    name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp()
)
"""
_SESSIONS = """
select distinct application_name from pg_stat_activity
where datname = current_database() and application_name ~ $1 and pid <> pg_backend_pid()
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


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


class OldCodeConnectedError(MigrationError):
    """An upgrade skips a release while processes of the one before it run."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"migration {name} comes before others that this release needs, and processes that do not know it are"
            " connected; stop them first"
        )
        self.name = name


async def migrate(dsn_owner: str, service_role: str, rights: Sequence[Rights] | None = None) -> None:
    """Prepare the schema for this release's code while that of the release before may still run.

    Connects as the owner of the database; the roles must exist. `service_role` gets what is granted to every service;
    its members are the roles of `rights`. Without `rights` it may touch everything itself: for tests.

    Twice is once, side by side is in turn. A process that dies in between leaves whole files applied, and the next call
    goes on. Raises MigrationError, `asyncpg.PostgresError`, OSError.
    """
    async with _locked(dsn_owner) as connection:
        applied = await _applied(connection)
        migrations = _migrations()
        pending = _pending(migrations, applied)
        last_pre = max((name for name in pending if _phase(name) == "pre"), default="")
        for name in pending:
            # Nobody else can be connected to what is made just now; and a `post` before a `pre` is an older release's.
            if _phase(name) == "pre" or not applied or name < last_pre:
                if applied and _phase(name) == "post" and not await _known_to_all(connection, name):
                    raise OldCodeConnectedError(name)
                await _apply(connection, {name: migrations[name]})
        quoted = '"' + service_role.replace('"', '""') + '"'
        renewed = {
            f"function {path.stem}": _text(path) for path in sorted((SCHEMA / "functions").glob("*.sql"))
        }
        renewed[f"grants {service_role}"] = _text(SCHEMA / "grants.sql").replace(':"service_role"', quoted)
        renewed[f"rights {service_role}"] = statement(
            (everything(service_role),) if rights is None else rights, kept=service_role
        )
        # Together: some call each other, and the code of the release before runs meanwhile.
        await _apply(
            connection, {name: text for name, text in renewed.items() if applied.get(name) != _checksum(text)}
        )


async def finish(dsn_owner: str) -> tuple[str, ...]:
    """Apply the migrations that wait for older code to be gone, as far as every connected process knows them.

    Returns the names of those that go on waiting. Raises what `migrate` raises.
    """
    async with _locked(dsn_owner) as connection:
        migrations = _migrations()
        pending = _pending(migrations, await _applied(connection))
        for place, name in enumerate(pending):
            if _phase(name) == "pre" or not await _known_to_all(connection, name):
                return tuple(pending[place:])
            await _apply(connection, {name: migrations[name]})
        return ()


@cache
def application_name() -> str:
    """Name this release's connections, so that a migration can tell whose code they run."""
    return f"{APPLICATION} {max(_migrations())}"


@asynccontextmanager
async def _locked(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_S, command_timeout=STATEMENT_S, server_settings={"application_name": "migrate"}
    )
    try:
        # Lost with the connection, so a killed migration blocks nobody.
        await connection.execute(f"select pg_advisory_lock({_LOCK})")
        await connection.execute(_APPLIED)
        yield connection
    finally:
        await connection.close(timeout=CONNECT_S)


def _migrations() -> dict[str, str]:
    found = {path.stem: _text(path) for path in sorted((SCHEMA / "migrations").glob("*.sql"))}
    if wrong := [name for name in found if not _NAME.fullmatch(name)]:
        raise MigrationError(f"migrations are called NNNN_pre_NAME or NNNN_post_NAME, not {', '.join(wrong)}")
    return found


def _phase(name: str) -> str:
    return name.split("_")[1]


async def _applied(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("select name, checksum from schema_file")
    return {row["name"]: row["checksum"] for row in rows}


def _pending(migrations: Mapping[str, str], applied: Mapping[str, str]) -> list[str]:
    for name, checksum in applied.items():
        if name.startswith(("function ", "grants ", "rights ")):
            continue
        if name not in migrations:
            raise SchemaTooNewError(name)
        if checksum != _checksum(migrations[name]):
            raise MigrationChangedError(name)
    return [name for name in migrations if name not in applied]


async def _known_to_all(connection: Connection, name: str) -> bool:
    """Tell whether every process of ours that is connected knows a migration; the first release named none."""
    sessions = await connection.fetch(_SESSIONS, f"^{APPLICATION}( |$)")
    return all(row["application_name"].removeprefix(APPLICATION).strip() >= name for row in sessions)


async def _apply(connection: Connection, files: Mapping[str, str]) -> None:
    async with connection.transaction():
        for name, text in files.items():
            await connection.execute(text)
            await connection.execute(
                "insert into schema_file (name, checksum) values ($1, $2)"
                " on conflict (name) do update set checksum = excluded.checksum, applied_at = clock_timestamp()",
                name,
                _checksum(text),
            )
    for name in files:
        log.info("schema_file_applied", name=name)


def _text(path: Path) -> str:
    """Read a file and what it includes with psql's `\\ir`."""
    text = path.read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: _text(path.parent / found.group(1)), text)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
