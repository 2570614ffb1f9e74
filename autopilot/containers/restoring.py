"""Fills the container stack's new volumes from a backup, before anything else has worked on them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import BinaryIO

import asyncpg

from autopilot.cli import recovery
from autopilot.cli.database import answered
from autopilot.cli.failure import CliError
from autopilot.containers.admin import prepare
from autopilot.stack.config import StackConfig
from autopilot.stack.stack import Hooks
from libs.journal.archive import ArchiveError

#: Seconds for one look, and for connections that were just closed to be gone.
_LOOK_S, _GONE_S = 10.0, 5.0
#: Whoever else is connected, and whether anything is in the record.
_OTHERS = (
    "select distinct usename from pg_stat_activity where datname = current_database()"
    " and backend_type = 'client backend' and pid <> pg_backend_pid() order by 1"
)
_USED = "select exists (select from events) or exists (select from checkpoint)"


async def restore(
    config: StackConfig, hooks: Hooks, data_dir: Path, source: BinaryIO, key: str
) -> dict[str, int]:
    """Verify what comes from a stream and fill database, data directory and file of checkpoints with it.

    `key` is the public key that must have sealed it; empty: its own. Returns how many rows of each kind. Raises
    CliError, StackError, OSError; before the first row was written nothing is changed.
    """
    # It is read three times, and memory is small here.
    file = data_dir / ".restoring.gz"
    try:
        with file.open("wb") as spooled:
            shutil.copyfileobj(source, spooled)
        if not file.stat().st_size:
            raise CliError("nothing came on standard input: `docker compose run --rm -T restore < backup.gz`")
        await recovery.verify_backup(file, key)
        credentials, dsn = await prepare(config, hooks)
        await _new(dsn)
        try:
            return await answered(
                recovery.fill(file, dsn, credentials, data_dir, journal_dir=config.data_dir)
            )
        except (CliError, ArchiveError, OSError) as error:
            raise CliError(
                f"{error}; the volumes may be filled in part: `docker compose down -v`, then begin again"
            ) from error
    finally:
        file.unlink(missing_ok=True)


async def _new(dsn: str) -> None:
    """Insist on a record that is empty and that nobody works on. Raises CliError, OSError."""
    connection: asyncpg.Connection[asyncpg.Record] | None = None
    try:
        connection = await asyncpg.connect(dsn, timeout=_LOOK_S, command_timeout=_LOOK_S)
        if await connection.fetchval(_USED):
            raise CliError(
                "these volumes hold a record: a backup is restored into new ones. `docker compose down -v` removes them"
            )
        deadline = asyncio.get_running_loop().time() + _GONE_S
        while others := [row["usename"] for row in await connection.fetch(_OTHERS)]:
            if asyncio.get_running_loop().time() > deadline:
                raise CliError(
                    f"{', '.join(others)} use the database: `docker compose down`, then begin again"
                )
            await asyncio.sleep(0.1)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CliError(f"the database refuses: {error}") from error
    finally:
        if connection is not None:
            connection.terminate()
