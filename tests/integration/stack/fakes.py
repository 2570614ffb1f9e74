"""What the stack is given from outside, in its smallest form; the servers in these tests are real."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import asyncpg
from nats.aio.client import Client
from nats.js.api import StreamConfig

from autopilot.stack import processes, status
from autopilot.stack.child import Child
from autopilot.stack.config import HOST, NATS, POSTGRES, StackConfig
from autopilot.stack.nats import NatsUser
from autopilot.stack.probe import http_status
from autopilot.stack.secrets import Secrets
from autopilot.stack.stack import Hooks
from autopilot.stack.status import StackStatus

PROGRAMS = Path(__file__).with_name("programs")
RUN_STACK = (sys.executable, str(PROGRAMS / "run_stack.py"))

#: Seconds; generous, since the machine may be busy with other things.
PATIENCE_S = 120.0


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; real processes take their time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        await asyncio.sleep(0.02)


def running(pid: int) -> bool:
    """Tell whether a process is there and not a zombie."""
    return processes.identity(pid) is not None


def live_status(config: StackConfig) -> StackStatus:
    """Read the status file of a stack that must be running."""
    found = status.read(config.stack_file)
    assert found is not None
    return found


def running_config(config: StackConfig) -> StackConfig:
    """Name a running stack with the ports that it has chosen."""
    return StackConfig(data_dir=config.data_dir, ports=live_status(config).ports)


def fake_service(name: str, config: StackConfig, secrets: Secrets) -> Child:
    """Describe a stand-in that is ready when it answers."""
    return _stand_in(name, config)


def fake_family(name: str, config: StackConfig, secrets: Secrets) -> Child:
    """Describe a stand-in that has children of its own and writes their ids to `<name>.pids`."""
    return _stand_in(name, config, str(config.data_dir / f"{name}.pids"))


def _stand_in(name: str, config: StackConfig, *arguments: str) -> Child:
    async def ready() -> bool:
        return await http_status(HOST, config.ports[name], "/readyz") == 200

    async def alive() -> bool:
        return await http_status(HOST, config.ports[name], "/healthz", None) is not None

    program = str(PROGRAMS / "fake_service.py")
    return Child(
        name=name,
        argv=(sys.executable, "-I", "-S", program, str(config.ports[name]), *arguments),
        env={"PATH": os.environ["PATH"]},
        cwd=config.data_dir,
        log_file=config.log_file(name),
        ready=ready,
        alive=alive,
        depends_on=(POSTGRES, NATS),
    )


async def migrate(dsn: str) -> None:
    """Make one table as the owner and let the services use it."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS events (position bigint PRIMARY KEY)")
        await connection.execute("GRANT SELECT, INSERT ON events TO autopilot_service")
    finally:
        await connection.close()


async def finish_migration(dsn: str) -> Sequence[str]:
    """Leave nothing for later."""
    return ()


async def ensure_topology(url: str, user: str, password: str) -> None:
    """Make one stream as the admin."""
    client = Client()
    try:
        # Inside: a start that is stopped here would leave the connection open, for `connect` does not close it.
        await client.connect(url, user=user, password=password, allow_reconnect=False)
        await client.jetstream().add_stream(StreamConfig(name="EVENTS", subjects=["autopilot.v1.>"]))
    finally:
        await client.close()


def nats_users(passwords: Mapping[str, str]) -> Sequence[NatsUser]:
    """Give the admin everything, `gate` a little, and the others nothing."""
    allowed = {"admin": ((">",), (">",)), "gate": (("autopilot.v1.gate.>",), ("_INBOX_gate.>",))}
    return [
        NatsUser(name=name, password=password, publish=publish, subscribe=subscribe)
        for name, password in passwords.items()
        for publish, subscribe in [allowed.get(name, ((), ()))]
    ]


def hooks() -> Hooks:
    """Put the three together."""
    return Hooks(
        migrate=migrate,
        finish_migration=finish_migration,
        ensure_topology=ensure_topology,
        nats_users=nats_users,
    )
