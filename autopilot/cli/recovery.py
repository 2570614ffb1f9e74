"""Backs a running stack up, and makes a data directory from a backup."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

import msgspec

from autopilot.cli import sealed
from autopilot.cli.client import Client
from autopilot.cli.database import answered, reading_dsn
from autopilot.cli.failure import CliError, UsageError
from autopilot.stack import secrets
from autopilot.stack.config import OWNER_ROLE, StackConfig
from autopilot.stack.secrets import Secrets
from autopilot.stack.stack import Stack
from autopilot.wiring import hooks, services
from contracts.message import Registry
from libs.eventstore.connections import Connections
from libs.eventstore.hint import Hints
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import LeaseClaim
from libs.journal.archive import Archive, ArchiveError
from libs.journal.backup import FOLDERS, STATE, ConsumerTypes, back_up, restore
from libs.journal.ledger import Ledger
from libs.journal.sealer import LEASE, Sealer
from libs.journal.signing import SigningKey
from libs.journal.snapshot import snapshot, verify_record
from libs.journal.verification import Verdict


async def back_up_stack(config: StackConfig, file: Path) -> dict[str, int]:
    """Back a running stack up. Raises CliError, SecretsError."""
    status = Client(config).status
    # In containers what the command line has as its data directory is its share of the credentials.
    data_dir = Path(status.data_dir) if status.contained else config.data_dir
    if status.contained and not any((data_dir / folder).is_dir() for folder in FOLDERS):
        raise CliError(
            f"{data_dir} has none of {', '.join(FOLDERS)}, and a backup would lack them: mount the volume `data` there"
        )
    dsn, key = reading_dsn(config), secrets.journal_public_key(config.secrets_dir)

    async def write(target: Path | BinaryIO) -> dict[str, int]:
        async with snapshot(dsn) as record:
            return dict(await back_up(record, data_dir, target, key))

    with sealed.writing(file) as target:
        return await answered(write(target))


async def restore_stack(config: StackConfig, file: Path, key: str) -> dict[str, int]:
    """Make a data directory that is not there yet from a backup. Raises CliError, StackError.

    It is made beside its place and moved there whole, so what dies in between leaves nothing that looks like a stack.
    """
    final = config.data_dir
    if final.exists() and any(final.iterdir()):
        raise UsageError(f"--data-dir: {final} is not empty; a backup is restored into a new directory")
    await verify_backup(file, key)
    draft = final.with_name(f".{final.name}.restoring")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        counts = await answered(_restored(msgspec.structs.replace(config, data_dir=draft), file))
        if final.exists():
            final.rmdir()
        draft.rename(final)
    except (ArchiveError, OSError) as error:
        raise CliError(str(error)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return counts


async def _restored(config: StackConfig, file: Path) -> dict[str, int]:
    stack = Stack(config, hooks())
    credentials = await stack.start_database()
    try:
        dsn = stack.config.dsn(OWNER_ROLE, credentials.postgres_owner)
        return await fill(file, dsn, credentials, config.data_dir, journal_dir=config.data_dir)
    finally:
        await stack.stop()


async def verify_backup(file: Path, key: str) -> None:
    """Hold a backup against the key that somebody gave, else against its own. Raises CliError when it is not sound."""
    _sound(await sealed.verify_file(file, sealed.given_key(key)), f"{file} is not what was sealed")


async def fill(
    file: Path, dsn: str, credentials: Secrets, data_dir: Path, *, journal_dir: Path
) -> dict[str, int]:
    """Fill a new database and directories from a verified backup, let the new key seal it, and verify the result.

    `dsn` is the owner's. Raises CliError, ArchiveError, OSError, EventStoreError.
    """
    key = SigningKey(credentials.journal_key)
    with Archive(file) as archive:
        counts = await restore(archive, dsn, data_dir, _consumers(), journal_dir=journal_dir)
    if not counts.keys() & STATE.keys():
        raise CliError(
            f"{file} is an export: it has the record and nothing beside it; restore takes a backup"
        )
    await _adopt(dsn, journal_dir, key)
    _sound(await verify_record(dsn, journal_dir, key.public), "what was restored is not what was sealed")
    return dict(counts)


async def _adopt(dsn: str, data_dir: Path, key: SigningKey) -> None:
    """Let the new directory's key sign what the old one's has sealed."""
    connections = await Connections.open(dsn, 1)
    try:
        lease = await PostgresStore(connections, Hints(dsn), Registry(())).acquire(
            LEASE, "restore", 1.0, takeover=True
        )
        assert lease is not None, "a takeover is never refused"
        claim = LeaseClaim(name=lease.name, epoch=lease.epoch)
        await Sealer(connections, Ledger(data_dir), key, claim).adopt()
    finally:
        await connections.close()


def _consumers() -> list[ConsumerTypes]:
    return [
        (consumer.durable(service.name), consumer.types)
        for service in services()
        for consumer in service.consumes
    ]


def _sound(verdict: Verdict, otherwise: str) -> None:
    if verdict.first is not None:
        where = "" if verdict.first.position is None else f" at position {verdict.first.position}"
        raise CliError(f"{otherwise}{where}: {verdict.first.kind}, {verdict.first.detail}")
