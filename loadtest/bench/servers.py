"""Postgres and NATS exactly as the product configures them, without the product: what a yardstick runs on."""

from __future__ import annotations

import secrets as random_source
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from autopilot.stack import cluster, environment, nats, postgres, secrets
from autopilot.stack.config import DATABASE, HOST, NATS, OWNER_ROLE, POSTGRES, StackConfig, role_of
from autopilot.stack.lock import InstanceLock
from autopilot.stack.ports import PortBlock
from autopilot.stack.secrets import ADMIN
from autopilot.stack.supervisor import Supervisor
from autopilot.stack.watchdog import Watchdog

READY_S = 60.0


@dataclass(frozen=True)
class Servers:
    """Where the two servers answer, and which processes they are."""

    #: Of the owner of the database.
    dsn: str
    #: Of each service's role, by the service's name.
    service_dsns: dict[str, str]
    nats_place: str
    nats_password: str
    pids: dict[str, int]

    @property
    def nats_url(self) -> str:
        """The bus's address with the credentials of its administrator."""
        return f"nats://{ADMIN}:{self.nats_password}@{self.nats_place.removeprefix('nats://')}"


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Start both in a temporary directory on free ports; they are gone afterwards."""
    run_id = random_source.token_hex(8)
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="autopilot-bench-"))
        data = Path(scratch) / "data"
        data.mkdir(mode=0o700)
        block = PortBlock.claim()
        stack.callback(block.release)
        config = StackConfig(data_dir=data, ports=block.ports)
        lock = await InstanceLock.acquire(config.lock_file)
        stack.callback(lock.release)
        watchdog = Watchdog(run_id, lock.fd)
        watchdog.start()
        stack.push_async_callback(watchdog.stop)
        credentials, plain = secrets.load_or_create(config.secrets_dir), environment.base()
        sockets = cluster.socket_dir(data)
        await cluster.create(config, credentials.postgres_superuser, plain, f"{run_id}/initdb/")
        cluster.configure(config, sockets)
        admin = nats.NatsUser(name=ADMIN, password=credentials.nats[ADMIN], publish=(">",), subscribe=(">",))
        bus = nats.prepare(config, [admin])
        supervisor = Supervisor(
            [postgres.child(config, credentials, plain, sockets), nats.child(config, bus, plain)],
            run_id=run_id,
            watchdog=watchdog,
            on_change=lambda *_: None,
        )
        stack.push_async_callback(supervisor.stop)
        supervisor.start()
        for name in (POSTGRES, NATS):
            await supervisor.wait_ready(name, READY_S)
        found = {name: one.pid for name, one in supervisor.statuses().items() if one.pid is not None}
        yield Servers(
            dsn=config.dsn(OWNER_ROLE, credentials.postgres_owner, DATABASE),
            service_dsns={
                name: config.dsn(role_of(name), password, DATABASE)
                for name, password in credentials.postgres.items()
            },
            nats_place=f"nats://{HOST}:{config.ports[NATS]}",
            nats_password=credentials.nats[ADMIN],
            pids=found,
        )
