"""What `init` leaves in the volumes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from autopilot.cli.client import Client
from autopilot.cli.failure import CliError
from autopilot.cli.lifecycle import down
from autopilot.containers.dealing import PARTS, deal
from autopilot.stack import secrets
from autopilot.stack.config import SERVICES, StackConfig
from autopilot.wiring import nats_users
from libs.journal.signing import SigningKey


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(data_dir=tmp_path / "state", apart=True)


@pytest.fixture
def parts(config: StackConfig, tmp_path: Path) -> Path:
    deal(config, nats_users, tmp_path / "parts")
    return tmp_path / "parts"


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_every_part_gets_a_deal_that_only_its_owner_reads(parts: Path) -> None:
    assert {place.name for place in parts.iterdir()} == set(PARTS)
    files = [file for file in parts.rglob("*") if file.is_file() and file.name != "stack.json"]
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_no_service_is_dealt_the_password_of_another(parts: Path, config: StackConfig) -> None:
    made = secrets.load_or_create(config.secrets_dir)
    for name in SERVICES:
        text = "".join(contents(parts / name).values())
        foreign = [password for user, password in made.nats.items() if user != name]
        assert made.nats[name] in text
        assert not any(
            password in text for password in (*foreign, made.postgres_owner, made.postgres_superuser)
        )


def test_nobody_is_dealt_the_key_that_signs_and_the_command_line_what_it_verifies_with(
    parts: Path, config: StackConfig
) -> None:
    made = secrets.load_or_create(config.secrets_dir)
    text = "".join(text for name in PARTS for text in contents(parts / name).values())
    assert made.journal_key not in text
    assert secrets.journal_public_key(parts / "cli" / "secrets") == SigningKey(made.journal_key).public
    assert secrets.reader_password(parts / "cli" / "secrets") == made.postgres_reader
    # Where the volume of checkpoints is mounted.
    assert (parts / "cli" / "journal").is_dir()


def test_a_second_start_deals_the_same(parts: Path, config: StackConfig) -> None:
    before = {name: text for name, text in contents(parts).items() if name != "cli/stack.json"}
    deal(config, nats_users, parts)
    after = contents(parts)
    assert {name: after[name] for name in before} == before


def test_parts_are_told_names_and_not_the_loopback(parts: Path, config: StackConfig) -> None:
    assert "@postgres:8832/" in (parts / "gate" / "postgres-dsn").read_text()
    bus = json.loads((config.nats_dir / "nats.conf").read_text())
    assert (bus["host"], bus["port"]) == ("0.0.0.0", 8822)


def test_the_command_line_finds_the_stack_and_leaves_stopping_it_to_the_engine(parts: Path) -> None:
    client = Client(StackConfig(data_dir=parts / "cli"))
    # Of several schedulers one leads; all stage-runners work.
    assert client.status.addresses["scheduler"] == "http://front:8801"
    assert client.status.addresses["stage-runner"] == "http://stage-runner:8802"
    assert client.status.published == "http://127.0.0.1:8800"
    with pytest.raises(CliError, match="docker compose down"):
        down(parts / "cli")
