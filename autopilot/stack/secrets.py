"""Credentials of one stack: made once, kept below the data directory, read by their owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets as random_source
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from autopilot.stack.config import SERVICES
from autopilot.stack.errors import SecretsError

#: Mode of a file for its owner's eyes.
_PRIVATE = 0o600

ADMIN, AUDITOR, OBSERVER = "admin", "auditor", "observer"
#: Users of the bus.
BUS_USERS: tuple[str, ...] = (*SERVICES, ADMIN, AUDITOR, OBSERVER)

_NAMES: tuple[str, ...] = (
    "postgres-superuser",
    "postgres-owner",
    *(f"postgres-{name}" for name in SERVICES),
    *(f"nats-{name}" for name in BUS_USERS),
    "api-token",
    "scrape-token",
    "session-key",
    "postgres-reader",
    "journal-key",
)


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Every credential of one stack."""

    #: Runs nothing but the set-up of roles and the readiness check.
    postgres_superuser: str
    #: Owns the schema and runs the migrations.
    postgres_owner: str
    #: One password per service.
    postgres: Mapping[str, str]
    #: One password per bus user: the seven services, `admin`, `auditor` and `observer`.
    nats: Mapping[str, str]
    api_token: str
    scrape_token: str
    session_key: str
    #: Reads every table and writes none: for those who check the record, and for backups.
    postgres_reader: str
    #: Signs the checkpoints of the record; no service has it.
    journal_key: str

    def __repr__(self) -> str:
        return "Secrets(…)"


def load_or_create(folder: Path) -> Secrets:
    """Read the stored credentials and make the missing ones; raises `SecretsError` for one that is empty."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    # What the services shared before each had a password of its own.
    (folder / "postgres-service").unlink(missing_ok=True)
    values = {name: _read_or_create(folder / name) for name in _NAMES}
    _publish_key(folder, values["journal-key"])
    return Secrets(
        postgres_superuser=values["postgres-superuser"],
        postgres_owner=values["postgres-owner"],
        postgres={name: values[f"postgres-{name}"] for name in SERVICES},
        nats={name: values[f"nats-{name}"] for name in BUS_USERS},
        api_token=values["api-token"],
        scrape_token=values["scrape-token"],
        session_key=values["session-key"],
        postgres_reader=values["postgres-reader"],
        journal_key=values["journal-key"],
    )


def journal_public_key(folder: Path) -> str:
    """Read the key by which the checkpoints of a stack are known; raises `SecretsError` where there is none."""
    return _stored(folder, "journal-public-key")


def reader_password(folder: Path) -> str:
    """Read the password of the role that reads every table; raises `SecretsError` where there is none."""
    return _stored(folder, "postgres-reader")


def api_token(folder: Path) -> str:
    """Read the bearer token of a stack's APIs; raises `SecretsError` where there is none."""
    return _stored(folder, "api-token")


def _stored(folder: Path, name: str) -> str:
    try:
        return _read(folder / name)
    except FileNotFoundError as error:
        raise SecretsError(f"{folder / name} is not there: has the stack been started?") from error


def _publish_key(folder: Path, private: str) -> None:
    """Write the public half of the journal's key: whoever verifies needs no more."""
    # Here, because most commands of the command line have nothing to sign and need not wait for OpenSSL.
    from libs.journal.signing import SigningKey

    try:
        public = SigningKey(private).public
    except ValueError as error:
        raise SecretsError(f"{folder / 'journal-key'} cannot be used: {error}") from None
    write_private(folder / "journal-public-key", public + "\n")


def _read_or_create(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    # Hex: fits a connection string, a header and a configuration file without escaping.
    write_private(path, random_source.token_hex(32) + "\n")
    return _read(path)


def _read(path: Path) -> str:
    value = path.read_text(encoding="ascii").strip()
    if not value:
        raise SecretsError(f"{path} is empty; remove it to have a new one made")
    # Only where it is needed: a container reads what it was dealt from a volume that it cannot write.
    if stat.S_IMODE(path.stat().st_mode) != _PRIVATE:
        path.chmod(_PRIVATE)
    return value


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner's eyes, whole or not at all, and durable when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
