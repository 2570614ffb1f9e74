"""The database's files, as far as no server is needed."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from autopilot.stack import cluster
from autopilot.stack.config import StackConfig


def test_the_socket_lives_in_the_data_directory_if_the_path_allows(tmp_path: Path) -> None:
    data_dir = Path("/tmp") / f"ap-{tmp_path.name[:20]}"
    data_dir.mkdir(exist_ok=True)
    try:
        assert cluster.socket_dir(data_dir) == data_dir / "run"
    finally:
        shutil.rmtree(data_dir)


@pytest.mark.parametrize("name", ["deep/" * 30, "with, comma", 'with " quote'])
def test_else_in_a_short_private_one_that_is_the_same_every_time(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name
    data_dir.mkdir(parents=True)
    chosen = cluster.socket_dir(data_dir)
    try:
        assert chosen == cluster.socket_dir(data_dir)
        assert len(str(chosen)) < 60
        assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    finally:
        cluster.remove_sockets(chosen)


def test_a_directory_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    data_dir = tmp_path / ("deep/" * 30)
    data_dir.mkdir(parents=True)
    first = cluster.socket_dir(data_dir)
    first.chmod(0o777)
    second = cluster.socket_dir(data_dir)
    try:
        assert second != first
        assert stat.S_IMODE(second.stat().st_mode) == 0o700
    finally:
        cluster.remove_sockets(first)
        cluster.remove_sockets(second)


def test_only_passwords_open_the_database(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path)
    config.postgres_dir.mkdir()
    cluster.configure(config, tmp_path / "it's")
    rules = (config.postgres_dir / "pg_hba.conf").read_text()
    methods = {line.split()[-1] for line in rules.splitlines() if line and not line.startswith("#")}
    assert methods == {"scram-sha-256"}
    assert (
        f"unix_socket_directories = '{tmp_path}/it''s'"
        in (config.postgres_dir / "postgresql.conf").read_text()
    )
