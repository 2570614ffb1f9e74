"""What the commands about the record answer to bad input, before they look at any stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.cli.backup import backup, restore
from autopilot.cli.failure import CliError, UnreachableError, UsageError
from autopilot.cli.journal import journal_export, journal_verify
from autopilot.cli.replay import replay


def test_a_file_that_is_missing_and_a_key_that_is_none_are_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        journal_verify(tmp_path / "missing")
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        journal_verify(tmp_path / "missing", key="ab")


def test_a_file_that_is_no_archive_fails(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no archive")
    with pytest.raises(CliError, match="no archive of a record") as failed:
        journal_verify(file)
    assert failed.value.code == 1
    with pytest.raises(CliError, match="no archive of a record"):
        restore(file, data_dir=tmp_path / "new")
    assert [place.name for place in tmp_path.iterdir()] == ["file"]


def test_a_backup_is_not_restored_over_anything(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "stack.json").touch()
    with pytest.raises(UsageError, match="is not empty"):
        restore(tmp_path / "file", data_dir=tmp_path / "used")


def test_without_a_stack_nothing_is_answered(tmp_path: Path) -> None:
    for ask in (
        lambda: journal_verify(data_dir=tmp_path),
        lambda: journal_export(tmp_path / "file", data_dir=tmp_path),
        lambda: backup(tmp_path / "file", data_dir=tmp_path),
        lambda: replay("t1", data_dir=tmp_path),
    ):
        with pytest.raises(UnreachableError):
            ask()
    assert list(tmp_path.iterdir()) == []
