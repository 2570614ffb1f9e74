"""Makes roles, schema and topology, then keeps the topology and seals the record: what the supervisor does elsewhere."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from autopilot.stack import postgres, secrets
from autopilot.stack.config import NATS, OWNER_ROLE, POSTGRES, StackConfig
from autopilot.stack.errors import PartFailedError
from autopilot.stack.secrets import ADMIN, Secrets
from autopilot.stack.stack import Hooks
from autopilot.stack.topology import PART, outcome_of
from libs.runtime.hanging import ended_when_hung

log = structlog.get_logger(__name__)

EVERY_S, TIMEOUT_S = 5.0, 15.0
#: Seconds that the servers have to answer at the start; then the container ends and the engine starts it again.
PATIENCE_S = 60.0
MIGRATION_S = 120.0


async def administer(config: StackConfig, hooks: Hooks, beat: Path) -> None:
    """Work until told to stop; `beat` is touched after every look that found or made everything right.

    Raises `PartFailedError` when the servers cannot be prepared at all.
    """
    credentials, dsn = await prepare(config, hooks)
    url = f"nats://{config.host(NATS)}:{config.ports[NATS]}"
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    finishing = Finishing(lambda: hooks.finish_migration(dsn))

    async def ensure() -> None:
        await hooks.ensure_topology(url, ADMIN, credentials.nats[ADMIN])
        await finishing.step()

    # One that fails ends the others, and the container with it: the engine starts it again.
    async with ended_when_hung(config.hung_after_s), asyncio.TaskGroup() as group:
        beside = [group.create_task(_seal(config, hooks, dsn, credentials))]
        if hooks.audit_bus is not None:
            beside.append(group.create_task(hooks.audit_bus(dsn, url, credentials.nats)))
        await keep(ensure, beat, stopping)
        for task in beside:
            task.cancel()


async def prepare(config: StackConfig, hooks: Hooks) -> tuple[Secrets, str]:
    """Make roles and schema; return the credentials and the owner's connection string. Raises `PartFailedError`."""
    credentials = secrets.load_or_create(config.secrets_dir)
    await _roles(config, credentials)
    dsn = config.dsn(OWNER_ROLE, credentials.postgres_owner)
    if error := await outcome_of(hooks.migrate(dsn), MIGRATION_S):
        raise PartFailedError("migrations", error)
    return credentials, dsn


async def _seal(config: StackConfig, hooks: Hooks, dsn: str, credentials: Secrets) -> None:
    """Sign checkpoints over the record; what is wrong is in the log."""
    if hooks.seal is not None:
        await hooks.seal(dsn, credentials.journal_key, config.data_dir, lambda _: None)


class Finishing:
    """Tries again and again what has to wait for the containers of the release before to be gone."""

    def __init__(self, finish: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._finish = finish
        self._waiting: Sequence[str] | None = None

    async def step(self) -> None:
        """Go on, unless everything is done; what has to wait is told once."""
        if self._waiting is None or self._waiting:
            before, self._waiting = self._waiting, await self._finish()
            if self._waiting and self._waiting != before:
                log.info("migrations_wait_for_older_processes", names=self._waiting)


async def keep(
    ensure: Callable[[], Awaitable[None]], beat: Path, stopping: asyncio.Event, every_s: float = EVERY_S
) -> None:
    """Run the check again and again. An error is told once, and the beat stops, until it is over."""
    before: str | None = None
    while not stopping.is_set():
        error = await outcome_of(ensure(), TIMEOUT_S)
        if error is None:
            beat.touch()
        if error != before:
            log.warning("topology_failed", part=PART, error=error) if error else log.info("topology_holds")
        before = error
        waiting = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({waiting}, timeout=every_s)
        waiting.cancel()


async def _roles(config: StackConfig, credentials: Secrets) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while (connection := await postgres.connect(config, credentials)) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise PartFailedError(POSTGRES, f"does not answer at {config.addresses()[POSTGRES]}")
        await asyncio.sleep(0.5)
    try:
        await postgres.set_up(connection, credentials)
    finally:
        await connection.close(timeout=2)
