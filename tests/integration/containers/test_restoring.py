"""Backup and restore of the container stack, over the embedded stack's Postgres: what the engine would add is mounts."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from autopilot.cli import sealed
from autopilot.cli.failure import CliError
from autopilot.containers import restoring
from autopilot.containers.dealing import deal
from autopilot.stack import secrets, status
from autopilot.stack.config import OWNER_ROLE, StackConfig
from autopilot.stack.stack import Stack
from autopilot.wiring import hooks, nats_users
from libs.journal.backup import back_up
from libs.journal.signing import SigningKey
from libs.journal.snapshot import snapshot, verify_record
from tests.integration.journal.scene import KEY, OTHER_KEY, Journal


@pytest.fixture
async def backup(old: Journal, tmp_path: Path) -> bytes:
    """A backup of another stack: nine sealed events and one file."""
    old.data_dir = tmp_path / "before"
    place = old.data_dir / "evidence" / "ab" / "abcd"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"seen")
    written = io.BytesIO()
    async with snapshot(old.superuser_dsn) as record:
        await back_up(record, old.data_dir, written, KEY.public)
    return written.getvalue()


@pytest.fixture
async def config(tmp_path: Path) -> AsyncIterator[StackConfig]:
    """New volumes with a running Postgres."""
    stack = Stack(StackConfig(data_dir=tmp_path / "state", ephemeral=True), hooks())
    await stack.start_database()
    (tmp_path / "data").mkdir()
    yield stack.config
    await stack.stop()


async def restore(config: StackConfig, data: Path, given: bytes, key: str = "") -> dict[str, int]:
    return await restoring.restore(config, hooks(), data, io.BytesIO(given), key)


def owner_dsn(config: StackConfig) -> str:
    return config.dsn(OWNER_ROLE, secrets.load_or_create(config.secrets_dir).postgres_owner)


async def test_what_was_restored_is_verified_under_the_new_key_and_backed_up_again(
    config: StackConfig, backup: bytes, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    counts = await restore(config, data, backup, KEY.public)
    assert (counts["events"], (data / "evidence/ab/abcd").read_bytes()) == (9, b"seen")
    assert [place.name for place in data.iterdir()] == ["evidence"]
    key = SigningKey(secrets.load_or_create(config.secrets_dir).journal_key).public
    verdict = await verify_record(owner_dsn(config), config.data_dir, key)
    assert (verdict.ok, verdict.events, verdict.checkpoints) == (True, 9, 3)
    with pytest.raises(CliError, match="these volumes hold a record"):
        await restore(config, data, backup, KEY.public)

    share = told_to_the_command_line(config, data, tmp_path)
    command = (sys.executable, "-m", "autopilot", "backup", "-", "--data-dir", str(share))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (
        0,
        b"autopilot: wrote the backup: 9 events, 3 pieces of files\n",
    )
    (tmp_path / "again.gz").write_bytes(done.stdout)
    assert (await sealed.verify_file(tmp_path / "again.gz", key)).ok


def told_to_the_command_line(config: StackConfig, data: Path, tmp_path: Path) -> Path:
    """Deal out as `init` does; return the share of the command line."""
    deal(config, nats_users, tmp_path / "parts")
    share = tmp_path / "parts" / "cli"
    described = status.read(share / "stack.json")
    assert described is not None
    assert described.contained
    status.write(share / "stack.json", msgspec.structs.replace(described, data_dir=str(data)))
    return share


async def test_without_the_volume_of_files_there_is_no_backup(
    config: StackConfig, backup: bytes, tmp_path: Path
) -> None:
    share = told_to_the_command_line(config, tmp_path / "data", tmp_path)
    command = (sys.executable, "-m", "autopilot", "backup", "-", "--data-dir", str(share))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"has none of evidence, incidents, forge, mirrors" in done.stderr


async def test_what_is_refused_changes_nothing(
    config: StackConfig, backup: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    with pytest.raises(CliError, match="nothing came on standard input"):
        await restore(config, data, b"")
    with pytest.raises(CliError, match=r"cut off|damaged"):
        await restore(config, data, backup[: len(backup) // 2])
    with pytest.raises(CliError, match="is not what was sealed"):
        await restore(config, data, backup, OTHER_KEY.public)
    monkeypatch.setattr(restoring, "_GONE_S", 0.0)
    other = await asyncpg.connect(owner_dsn(config))
    try:
        with pytest.raises(CliError, match="autopilot_owner use the database"):
            await restore(config, data, backup)
        assert await other.fetchval("select count(*) from events") == 0
    finally:
        await other.close()
    assert list(data.iterdir()) == []
    monkeypatch.undo()
    assert (await restore(config, data, backup))["events"] == 9
