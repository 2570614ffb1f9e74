"""Deals out credentials: every part of the container stack gets a directory with what it needs and nothing else.

The credentials are those of `autopilot.stack.secrets`, made once and kept in a volume that only `init` and `admin`
mount. Each part mounts its own deal as `/secrets`, so a part that is broken into knows no other part's password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autopilot.stack import nats, secrets, status
from autopilot.stack.config import HOST, POSTGRES, SERVICES, StackConfig, role_of
from autopilot.stack.secrets import Secrets

#: Where the volumes of `init` and `admin` are mounted.
STATE = Path("/state")
#: Where the volume of working data is mounted, by whoever does.
DATA = Path("/data")
#: What the engine's Prometheus and the command line's container read.
MONITORING, COMMAND_LINE = "monitoring", "cli"
PARTS = (*SERVICES, POSTGRES, MONITORING, COMMAND_LINE)


def configuration() -> StackConfig:
    """Describe the container stack: every part answers under its own name, on the ports of the embedded stack."""
    return StackConfig(data_dir=STATE, apart=True)


def deal(
    config: StackConfig, users: Callable[[Mapping[str, str]], Sequence[nats.NatsUser]], parts: Path
) -> None:
    """Write every part's directory below `parts`, and the bus's configuration; twice is once.

    Raises `SecretsError`, OSError.
    """
    credentials = secrets.load_or_create(config.secrets_dir)
    nats.prepare(config, users(credentials.nats))
    for name in SERVICES:
        _write(parts / name, _of_service(name, config, credentials))
    _write(parts / POSTGRES, {"superuser-password": credentials.postgres_superuser})
    _write(parts / MONITORING, {"scrape-token": credentials.scrape_token})
    reading = {
        "api-token": credentials.api_token,
        "nats-observer": credentials.nats[secrets.OBSERVER],
        "postgres-reader": credentials.postgres_reader,
        "journal-public-key": secrets.journal_public_key(config.secrets_dir),
    }
    _write(parts / COMMAND_LINE / "secrets", reading)
    # The volume with the file of checkpoints is mounted there.
    (parts / COMMAND_LINE / "journal").mkdir(mode=0o700, exist_ok=True)
    status.write(parts / COMMAND_LINE / "stack.json", described(config))


def _of_service(name: str, config: StackConfig, credentials: Secrets) -> dict[str, str]:
    return {
        "postgres-dsn": config.dsn(role_of(name), credentials.postgres[name]),
        "nats-password": credentials.nats[name],
        "api-token": credentials.api_token,
        "scrape-token": credentials.scrape_token,
        "session-key": credentials.session_key,
    }


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in files.items():
        secrets.write_private(folder / name, text + "\n")


def described(config: StackConfig) -> status.StackStatus:
    """Describe the stack to the command line, as the embedded stack does in its data directory."""
    return status.StackStatus(
        pid=0,
        identity="",
        run_id="",
        state="ready",
        started_at=status.now(),
        data_dir=str(DATA),
        addresses=config.addresses(),
        published=f"http://{HOST}:{config.ports['dashboard']}",
        ports=dict(config.ports),
        processes={},
    )
