"""Credentials: made once, private, never shown."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import msgspec
import pytest

from autopilot.stack import secrets
from autopilot.stack.errors import SecretsError
from libs.journal.signing import SigningKey


def test_a_second_start_reads_what_the_first_one_made(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = secrets.load_or_create(folder)
    second = secrets.load_or_create(folder)
    assert msgspec.structs.asdict(first) == msgspec.structs.asdict(second)
    assert secrets.api_token(folder) == first.api_token


def test_no_two_credentials_are_the_same(tmp_path: Path) -> None:
    secrets.load_or_create(tmp_path / "secrets")
    values = [path.read_text() for path in (tmp_path / "secrets").iterdir()]
    assert len(values) == len(set(values)) == 25


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secrets.load_or_create(folder)
    folder.chmod(0o755)
    (folder / "api-token").chmod(0o644)
    secrets.load_or_create(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_public_half_of_the_signing_key_lies_beside_it(tmp_path: Path) -> None:
    stored = secrets.load_or_create(tmp_path)
    assert secrets.journal_public_key(tmp_path) == SigningKey(stored.journal_key).public
    (tmp_path / "journal-key").write_text("not a key\n")
    with pytest.raises(SecretsError, match="journal-key cannot be used") as refused:
        secrets.load_or_create(tmp_path)
    assert "not a key" not in str(refused.value)


def test_an_empty_file_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "postgres-superuser").write_text("\n")
    with pytest.raises(SecretsError, match="postgres-superuser is empty"):
        secrets.load_or_create(tmp_path)


def test_a_token_that_was_never_made_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="has the stack been started"):
        secrets.api_token(tmp_path)


def test_printing_them_shows_none(tmp_path: Path) -> None:
    stored = secrets.load_or_create(tmp_path / "secrets")
    assert stored.api_token not in repr(stored)


def test_what_was_dealt_can_be_read_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.load_or_create(tmp_path / "secrets")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "chmod", read_only)
    assert len(secrets.reader_password(tmp_path / "secrets")) == 64
