"""Seals the record: every half second a checkpoint over the events that came, first in Postgres, then in the file.

The process may die between any two lines. What it had signed and not written never was; what is in the table and not
in the file is appended there at the next start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import structlog

from contracts.message import Registry
from libs.eventstore.connections import Connections
from libs.eventstore.hint import Hints
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.sql import load
from libs.eventstore.store import EventStoreError, LeaseClaim, StoreUnavailableError
from libs.journal.checkpoint import CheckpointError, Signed, fault_between, read, seal
from libs.journal.ledger import Ledger
from libs.journal.signing import SigningKey
from libs.runtime.leadership import Leadership, LeaseLostError
from libs.runtime.pulse import Pulse

log = structlog.get_logger(__name__)

LEASE = "journal"
#: Seconds between two looks; an event is sealed within twice that, if no transaction stays open for longer.
EVERY_S = 0.5
#: Seconds between two looks for the end of transactions that were open when the last positions were drawn.
SETTLE_S = 0.005
#: Events of one checkpoint; more come with an existing record or after an outage, and go into several.
CHUNK = 10_000
#: Seconds after a failure.
RETRY_S = 2.0

_queries = load(Path(__file__).with_name("queries.sql"))


class JournalBrokenError(Exception):
    """What was sealed is not what is there: nothing is sealed on top of it until a person has looked."""


class Sealer:
    """Seals one record under a lease."""

    def __init__(
        self,
        connections: Connections,
        ledger: Ledger,
        key: SigningKey,
        claim: LeaseClaim,
        *,
        chunk: int = CHUNK,
    ) -> None:
        self._connections, self._ledger, self._key, self._claim = connections, ledger, key, claim
        self._chunk = chunk
        self._last: Signed | None = None
        #: A range that is about to be sealed: its end, and the transaction id below which all must have ended.
        self._closing: tuple[int, int] | None = None
        #: Up to here nothing but positions that were drawn in vain; they are sealed with the next event.
        self._empty = 0

    async def start(self) -> None:
        """Find where the last one stopped. Raises JournalBrokenError, StoreUnavailableError, OSError."""
        self._last = await last_of(self._connections)
        if self._last is not None and self._last.checkpoint.key != self._key.public:
            raise JournalBrokenError(
                f"checkpoint {self._last.checkpoint.number} was signed with another key than the one of this stack"
            )
        await asyncio.to_thread(self._catch_up)

    @property
    def is_done(self) -> bool:
        """Tell whether the last step left nothing to seal."""
        return self._closing is None

    async def step(self) -> int:
        """Seal what can be sealed now and return how many events that were.

        Raises LeaseLostError, JournalBrokenError, StoreUnavailableError, OSError.
        """
        end = self._last.checkpoint.upto if self._last else 0
        if self._closing is None:
            upto = (await self._fetch("drawn"))[0]["upto"]
            if upto <= max(end, self._empty):
                return 0
            self._closing = upto, (await self._fetch("mark"))[0]["mark"]
        rows = await self._sealable(end, *self._closing)
        if rows is None:
            return 0
        # Fewer than asked for: these are all, and the range ends where the last position was drawn.
        upto = self._closing[0]
        if len(rows) == self._chunk:
            upto = rows[-1]["position"]
        else:
            self._closing = None
        if not rows:
            self._empty = upto
            return 0
        signed = await asyncio.to_thread(
            seal,
            [(row["position"], row["hash"].hex()) for row in rows],
            before=self._last,
            upto=upto,
            sealed_at=rows[0]["at"],
            key=self._key,
        )
        await self._write(signed)
        return len(rows)

    async def adopt(self) -> None:
        """Sign what another key has sealed, as a restore does with a record that it has verified."""
        self._last = await last_of(self._connections)
        if self._last is not None:
            end, at = self._last.checkpoint.upto, (await self._fetch("sealable", 0, 0, 0, 1))[0]["at"]
            await self._write(seal([], before=self._last, upto=end, sealed_at=at, key=self._key))

    async def _sealable(self, end: int, upto: int, below: int) -> list[asyncpg.Record] | None:
        """Read the next events once the range is closed; None where an open transaction still holds it open."""
        deadline = time.monotonic() + EVERY_S
        while True:
            rows = await self._fetch("sealable", end, upto, below, self._chunk)
            if rows[0]["closed"]:
                return [row for row in rows if row["position"] is not None]
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(SETTLE_S)

    async def _write(self, signed: Signed) -> None:
        try:
            written = await self._fetch(
                "seal", signed.checkpoint.number, signed.line, self._claim.name, self._claim.epoch
            )
        except StoreUnavailableError:
            raise
        except EventStoreError as error:
            raise JournalBrokenError(
                f"checkpoint {signed.checkpoint.number} could not be written: {error}"
            ) from error
        if not written:
            raise LeaseLostError(f"lease {self._claim.name} has left epoch {self._claim.epoch}")
        self._last = signed
        await asyncio.to_thread(self._ledger.append, signed.line)

    def _catch_up(self) -> None:
        """Bring the file to where the table is: equal, or one line behind it."""
        last = self._last
        if last is None:
            self._ledger.create()
        try:
            self._ledger.mend()
            line = self._ledger.last()
        except FileNotFoundError as error:
            raise JournalBrokenError(
                f"{self._ledger.path} is gone; bring it back, see docs/journal.md"
            ) from error
        if line == (last.line if last else None):
            return
        try:
            behind = last is not None and fault_between(read(line) if line else None, last) is None
        except CheckpointError:
            behind = False
        if last is None or not behind:
            raise JournalBrokenError(
                f"{self._ledger.path} does not end as the table of checkpoints does: run `autopilot journal verify`"
            )
        self._ledger.append(last.line)

    async def _fetch(self, name: str, *args: object) -> list[asyncpg.Record]:
        return await self._connections.fetch(_queries[name], *args)


async def last_of(connections: Connections) -> Signed | None:
    """Read the last checkpoint in Postgres. Raises JournalBrokenError, StoreUnavailableError."""
    rows = await connections.fetch(_queries["last"])
    if not rows:
        return None
    try:
        return read(rows[0]["line"])
    except CheckpointError as error:
        raise JournalBrokenError(f"checkpoint {rows[0]['number']}: {error}") from error


async def keep_sealing(
    dsn: str, key: SigningKey, data_dir: Path, tell: Callable[[str | None], None], *, holder: str = LEASE
) -> None:
    """Seal until cancelled; `tell` hears what is wrong when it begins, and None when all is well again."""
    ledger = Ledger(data_dir)
    while True:
        try:
            await _keep(dsn, key, ledger, tell, holder)
        except (EventStoreError, LeaseLostError, JournalBrokenError, OSError) as error:
            log.warning("journal_not_sealed", error=str(error), retry_in_s=RETRY_S)
            tell(f"{type(error).__name__}: {error}")
        await asyncio.sleep(RETRY_S)


async def _keep(
    dsn: str, key: SigningKey, ledger: Ledger, tell: Callable[[str | None], None], holder: str
) -> None:
    connections = await Connections.open(dsn, 2)
    try:
        store = PostgresStore(connections, Hints(dsn), Registry(()))
        pulse = Pulse()
        leadership = Leadership(store, LEASE, holder, time.monotonic, service=LEASE, pulse=pulse)
        claim = await leadership.acquire()
        sealer = Sealer(connections, ledger, key, claim)
        await sealer.start()
        tell(None)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(leadership.hold(claim))
                group.create_task(_seal_again_and_again(sealer, pulse))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
    finally:
        await connections.close()


async def _seal_again_and_again(sealer: Sealer, pulse: Pulse) -> None:
    while True:
        end = pulse.end
        sealed = await sealer.step()
        # What does not fit into one checkpoint is sealed without a pause.
        if sealed < CHUNK:
            await asyncio.sleep(EVERY_S)
        if sealer.is_done:
            await pulse.news(end)
