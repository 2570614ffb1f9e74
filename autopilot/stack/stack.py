"""One embedded stack from start to stop: Postgres, NATS and the seven services in one data directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets as random_source
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from autopilot.stack import (
    cluster,
    environment,
    leftovers,
    nats,
    postgres,
    processes,
    secrets,
    service,
    status,
)
from autopilot.stack.child import Child
from autopilot.stack.config import HOST, NATS, OWNER_ROLE, POSTGRES, SERVICES, StackConfig
from autopilot.stack.errors import PartFailedError, PortsInUseError, StackError
from autopilot.stack.journal import JournalKeeper
from autopilot.stack.liveness import LivenessPolicy
from autopilot.stack.lock import InstanceLock
from autopilot.stack.ports import PortBlock, busy
from autopilot.stack.progress import WHOLE, Report, reported, silent
from autopilot.stack.secrets import ADMIN, Secrets
from autopilot.stack.status import ProcessState, StackState, StackStatus
from autopilot.stack.supervisor import Supervisor
from autopilot.stack.topology import PART as TOPOLOGY
from autopilot.stack.topology import TopologyKeeper, outcome_of
from autopilot.stack.watchdog import Watchdog
from autopilot.stack.zygote import Zygote

_log = structlog.get_logger(__name__)

_READY_TIMEOUT_S = 60.0
_MIGRATION_TIMEOUT_S = 120.0

MIGRATIONS = "migrations"
ZYGOTE = "zygote"


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """What the stack does not know itself: the schema, the bus's topology, and who may use which subject."""

    #: Prepares the schema for this release; gets the owner's connection string.
    migrate: Callable[[str], Awaitable[None]]
    #: Takes from the schema what only older releases need, once none of them is connected; tells what has to wait.
    finish_migration: Callable[[str], Awaitable[Sequence[str]]]
    #: Makes missing streams and consumers; gets the server's address, the admin's name and password. Runs often.
    ensure_topology: Callable[[str, str, str], Awaitable[None]]
    #: Turns the passwords by user name (seven services, `admin`, `auditor`, `observer`) into users of the bus.
    nats_users: Callable[[Mapping[str, str]], Sequence[nats.NatsUser]]
    #: Compares the bus with the record until cancelled; gets the owner's connection string, the server's address and
    #: the passwords by user name. None: nobody does.
    audit_bus: Callable[[str, str, Mapping[str, str]], Coroutine[None, None, None]] | None = None
    #: Seals the record until cancelled; gets the owner's connection string, the signing key, the data directory, and
    #: what to call with what is wrong, or with None when all is well.
    seal: Callable[[str, str, Path, Callable[[str | None], None]], Awaitable[None]] | None = None


class Stack:
    """Starts, keeps and stops one stack. One object is one run."""

    def __init__(
        self,
        config: StackConfig,
        hooks: Hooks,
        *,
        make_service: Callable[[str, StackConfig, Secrets], Child] = service.child,
    ) -> None:
        #: With the ports that were chosen, once started.
        self.config = config
        self._hooks = hooks
        self._make_service = make_service
        self._run_id = random_source.token_hex(8)
        self._started_at = status.now()
        self._state: StackState = "starting"
        self._watchdog: Watchdog | None = None
        self._supervisor: Supervisor | None = None
        self._topology: TopologyKeeper | None = None
        self._journal: JournalKeeper | None = None
        self._zygote: Zygote | None = None
        #: What was acquired, given back in reverse order.
        self._cleanups = contextlib.AsyncExitStack()
        self._publish_due = False
        self._published = True
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    async def start(self, report: Report = silent) -> None:
        """Start everything and return when all of it is ready; else stop what was begun and raise `StackError`."""
        self._starting = asyncio.get_running_loop().create_task(self._start(report), name="start-stack")
        try:
            await self._starting
        except BaseException as error:
            # Whatever it was, a defect of ours included: what was begun must not stay.
            stopped_by_us = self._stopping is not None
            await self.stop()
            if stopped_by_us and isinstance(error, asyncio.CancelledError):
                raise StackError("the stack was stopped during its start") from None
            if isinstance(error, OSError):
                raise StackError(str(error)) from error
            raise

    async def start_database(self, report: Report = silent) -> Secrets:
        """Start Postgres alone, with its schema, for work on the record while nothing else runs; raises `StackError`.

        `stop` ends it.
        """
        try:
            sockets = await self._take_directory()
            credentials = secrets.load_or_create(self.config.secrets_dir)
            supervisor, _ = self._supervise(credentials, sockets)
            await self._start_postgres(supervisor, credentials, sockets, report)
            await self._migrate(self.config.dsn(OWNER_ROLE, credentials.postgres_owner), report)
            return credentials
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Wait until the stack has been stopped."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Stop everything and give the directory free; further calls wait for the same stop."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(), name="stop-stack")
        await asyncio.shield(self._stopping)

    def status(self) -> StackStatus:
        """Describe the stack as its status file does."""
        return StackStatus(
            pid=os.getpid(),
            identity=processes.identity(os.getpid()) or "",
            run_id=self._run_id,
            state=self._state,
            started_at=self._started_at,
            data_dir=str(self.config.data_dir),
            addresses=self.config.addresses(),
            ports=dict(self.config.ports),
            watchdog_pid=self._watchdog.pid if self._watchdog else None,
            processes=self._supervisor.statuses() if self._supervisor else {},
            topology=self._topology.status if self._topology else None,
            journal=self._journal.status if self._journal else None,
        )

    async def _start(self, report: Report) -> None:
        with reported(report, WHOLE):
            sockets = await self._take_directory()
            credentials = secrets.load_or_create(self.config.secrets_dir)
            supervisor, keeper = self._supervise(credentials, sockets)
            if self._zygote is not None:
                # It loads while the servers start.
                self._zygote.start()
            await _together(
                self._start_postgres(supervisor, credentials, sockets, report),
                self._start_child(supervisor, NATS, report),
            )
            dsn = self.config.dsn(OWNER_ROLE, credentials.postgres_owner)
            await self._migrate(dsn, report)
            with reported(report, TOPOLOGY):
                await keeper.first()
            keeper.start()
            self._cleanups.push_async_callback(keeper.stop)
            self._start_audit(dsn, credentials)
            self._seal_record(dsn, credentials.journal_key)
            await _together(*(self._start_child(supervisor, name, report) for name in SERVICES))
            if error := await outcome_of(self._finish_migration(dsn), _MIGRATION_TIMEOUT_S):
                # The services work without it, and the next start tries again.
                _log.warning("migration_not_finished", error=error)
            self._state = "ready"
            self._publish()

    async def _finish_migration(self, dsn: str) -> None:
        if waiting := await self._hooks.finish_migration(dsn):
            _log.warning("migrations_wait_for_older_processes", names=waiting)

    async def _migrate(self, dsn: str, report: Report) -> None:
        with reported(report, MIGRATIONS):
            if error := await outcome_of(self._hooks.migrate(dsn), _MIGRATION_TIMEOUT_S):
                raise PartFailedError(MIGRATIONS, error)

    async def _take_directory(self) -> Path:
        """Become the only stack of this directory and of its ports; returns the directory of the sockets."""
        self.config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await InstanceLock.acquire(self.config.lock_file)
        self._cleanups.callback(lock.release)
        sockets = cluster.socket_dir(self.config.data_dir)
        self._cleanups.callback(cluster.remove_sockets, sockets)
        await leftovers.end_leftovers(self.config, sockets)
        self._cleanups.callback(self._unpublish)
        if self.config.ephemeral:
            block = PortBlock.claim()
            self._cleanups.callback(block.release)
            self.config = msgspec.structs.replace(self.config, ports=block.ports)
        elif taken := busy(self.config.ports):
            raise PortsInUseError(taken)
        self._watchdog = Watchdog(self._run_id, lock.fd)
        self._watchdog.start()
        self._cleanups.push_async_callback(self._watchdog.stop)
        return sockets

    def _supervise(self, credentials: Secrets, sockets: Path) -> tuple[Supervisor, TopologyKeeper]:
        """Put all children under supervision; none is started yet."""
        assert self._watchdog is not None
        config, plain = self.config, environment.base()
        bus_file = nats.prepare(config, self._hooks.nats_users(credentials.nats))
        services = [self._make_service(name, config, credentials) for name in SERVICES]
        modules = [module for child in services for module in child.orders]
        if modules and sys.platform == "linux":
            self._zygote = Zygote(
                modules,
                run_id=self._run_id,
                watchdog=self._watchdog,
                cwd=config.data_dir,
                log_file=config.log_file(ZYGOTE),
            )
            self._cleanups.push_async_callback(self._zygote.stop)
        supervisor = Supervisor(
            [
                postgres.child(config, credentials, plain, sockets),
                nats.child(config, bus_file, plain),
                *services,
            ],
            run_id=self._run_id,
            watchdog=self._watchdog,
            on_change=self._child_changed,
            liveness=LivenessPolicy.within(config.hung_after_s),
            zygote=self._zygote,
        )
        self._cleanups.push_async_callback(supervisor.stop)
        url, password = f"nats://{HOST}:{config.ports[NATS]}", credentials.nats[ADMIN]
        keeper = TopologyKeeper(
            lambda: self._hooks.ensure_topology(url, ADMIN, password),
            bus_is_ready=lambda: supervisor.is_ready(NATS),
            on_change=self._publish_soon,
        )
        self._supervisor, self._topology = supervisor, keeper
        self._publish()
        return supervisor, keeper

    def _seal_record(self, dsn: str, key: str) -> None:
        """Begin to seal the record. Here, and not in a service, so that no service can sign what it has written."""
        if (seal := self._hooks.seal) is not None:
            keeper = JournalKeeper(
                lambda tell: seal(dsn, key, self.config.data_dir, tell), on_change=self._publish_soon
            )
            keeper.start()
            self._cleanups.push_async_callback(keeper.stop)
            self._journal = keeper

    async def _start_postgres(
        self, supervisor: Supervisor, credentials: Secrets, sockets: Path, report: Report
    ) -> None:
        new = not cluster.exists(self.config)
        with reported(report, POSTGRES, "creating the database cluster" if new else None):
            if new:
                mark = f"{self._run_id}/initdb/"
                await cluster.create(self.config, credentials.postgres_superuser, environment.base(), mark)
            cluster.configure(self.config, sockets)
            supervisor.start([POSTGRES])
            await supervisor.wait_ready(POSTGRES, _READY_TIMEOUT_S)

    async def _start_child(self, supervisor: Supervisor, name: str, report: Report) -> None:
        with reported(report, name):
            supervisor.start([name])
            await supervisor.wait_ready(name, _READY_TIMEOUT_S)

    def _start_audit(self, dsn: str, credentials: Secrets) -> None:
        if self._hooks.audit_bus is None:
            return
        url = f"nats://{HOST}:{self.config.ports[NATS]}"
        audit = asyncio.get_running_loop().create_task(
            self._hooks.audit_bus(dsn, url, credentials.nats), name="bus-audit"
        )

        async def end() -> None:
            audit.cancel()
            await asyncio.wait({audit})

        self._cleanups.push_async_callback(end)

    async def _stop(self) -> None:
        self._state = "stopping"
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        try:
            await self._cleanups.aclose()
        finally:
            self._stopped.set()

    def _child_changed(self, name: str, state: ProcessState) -> None:
        if name == NATS and state == "ready" and self._topology is not None:
            self._topology.soon()
        self._publish_soon()

    def _publish_soon(self) -> None:
        # Many changes of one turn of the loop become one file.
        if not self._publish_due:
            self._publish_due = True
            asyncio.get_running_loop().call_soon(self._publish)

    def _publish(self) -> None:
        self._publish_due = False
        if not self._published:
            return
        try:
            status.write(self.config.stack_file, self.status())
        except OSError as error:
            # A full disk must not end the supervisor; the next change writes it again.
            _log.warning("status_not_written", error=str(error))

    def _unpublish(self) -> None:
        self._published = False
        self.config.stack_file.unlink(missing_ok=True)


async def _together(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts at once; the first failure cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
