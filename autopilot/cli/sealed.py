"""Verifies and exports the record for the command line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from autopilot.cli.database import answered, reading_dsn
from autopilot.cli.failure import CliError, UsageError
from autopilot.cli.options import STDOUT
from autopilot.stack import secrets
from autopilot.stack.config import StackConfig
from libs.journal.archive import Archive, ArchiveError, export
from libs.journal.signing import public_key
from libs.journal.snapshot import snapshot, verify_record
from libs.journal.verification import Verdict, verify


def given_key(text: str) -> str:
    """Read a public key that somebody gave, if they did. Raises UsageError."""
    try:
        return public_key(text) if text else ""
    except ValueError as error:
        raise UsageError(f"--public-key: {error}") from error


async def verify_stack(config: StackConfig, key: str) -> Verdict:
    """Verify the record of a running stack. Raises CliError, SecretsError."""
    dsn = reading_dsn(config)
    trusted = key or secrets.journal_public_key(config.secrets_dir)
    return await answered(verify_record(dsn, config.data_dir, trusted))


async def verify_file(file: Path, key: str) -> Verdict:
    """Verify an exported record, against the key that it names itself if none is given. Raises CliError."""
    try:
        with Archive(file) as archive:
            return await verify(archive, key or archive.header.key)
    except FileNotFoundError as error:
        raise UsageError(f"--file: {file} is not there") from error
    except (ArchiveError, OSError) as error:
        raise CliError(str(error)) from error


async def export_stack(config: StackConfig, file: Path) -> tuple[str, dict[str, int]]:
    """Export the record of a running stack; return its public key and the rows of each table.

    Raises CliError, SecretsError.
    """
    dsn, key = reading_dsn(config), secrets.journal_public_key(config.secrets_dir)

    async def write(target: Path | BinaryIO) -> dict[str, int]:
        async with snapshot(dsn) as record:
            return dict(await export(record, target, key))

    with writing(file) as target:
        return key, await answered(write(target))


@contextlib.contextmanager
def writing(file: Path) -> Iterator[Path | BinaryIO]:
    """Write into a file that somebody named, or to standard output, which is called `-`.

    Raises UsageError where it cannot be, CliError when it fails meanwhile.
    """
    to_stdout = file == STDOUT
    if to_stdout and sys.stdout.isatty():
        raise UsageError("FILE: - is a terminal here; send standard output into a file")
    if not file.parent.is_dir():
        raise UsageError(f"FILE: {file.absolute().parent} is no directory")
    try:
        yield sys.stdout.buffer if to_stdout else file
        sys.stdout.flush()
    except OSError as error:
        raise CliError(f"{file} could not be written: {error}") from error
