"""The record as the auditor sees and marks it, in Postgres."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from contracts.message import Recorded, Registry
from libs.busaudit.ports import LEASE, LEASE_S, TRIES_S, Open, Stretch, Wanted
from libs.busaudit.sight import Notes
from libs.eventstore import codec
from libs.eventstore.connections import Connections
from libs.eventstore.row import decode_row
from libs.eventstore.sql import load
from libs.eventstore.sql import queries as record_queries
from libs.eventstore.store import BusEpoch, EventStoreError, LeaseClaim, StaleLeaseError

#: Events looked at in one transaction of a requeue: an open writing transaction holds every reader back.
CHUNK = 2_000

queries = load(Path(__file__).with_name("queries.sql"))


class PostgresRecord:
    """`RecordView` on connections of the auditor's own."""

    def __init__(self, connections: Connections, registry: Registry, holder: str) -> None:
        self._connections, self._registry, self._holder = connections, registry, holder
        self._claimed = 0

    @classmethod
    async def connect(cls, dsn: str, registry: Registry, holder: str) -> PostgresRecord:
        """Connect. Raises StoreUnavailableError."""
        return cls(await Connections.open(dsn, 2), registry, holder)

    async def close(self) -> None:
        """Give back every connection; the lease lapses at once."""
        with contextlib.suppress(EventStoreError):
            await self._connections.fetch(record_queries["release"], LEASE, self._claimed)
        await self._connections.close()

    async def lead(self) -> LeaseClaim | None:
        """Take or extend the auditor's lease; None while somebody else has it."""
        rows = await self._fetch("lead", LEASE, self._holder, LEASE_S, self._claimed)
        self._claimed = int(rows[0]["epoch"]) if rows else 0
        return LeaseClaim(name=LEASE, epoch=self._claimed) if rows else None

    async def epoch(self) -> BusEpoch:
        """Tell the current epoch."""
        rows = await self._connections.fetch(record_queries["bus_epoch"])
        return BusEpoch(**dict(rows[0])) if rows else BusEpoch()

    async def remembered(self) -> Notes | None:
        """Return what was kept last."""
        rows = await self._fetch("remembered")
        return msgspec.json.decode(rows[0]["seen"], type=Notes) if rows else None

    async def keep(self, claim: LeaseClaim, memory: Notes) -> None:
        """Keep what was seen."""
        await self._fenced("keep", claim, msgspec.json.encode(memory))

    async def begin(self, claim: LeaseClaim, epoch: int, state: str, reason: str) -> None:
        """Begin an epoch."""
        await self._fenced("begin", claim, epoch, state, reason)

    async def enter(self, claim: LeaseClaim, epoch: int, state: str) -> None:
        """Put an epoch into its next state."""
        await self._fenced("enter", claim, epoch, state)

    async def known(self, event_ids: Sequence[str]) -> dict[str, Recorded]:
        """Find events by id."""
        rows = await self._fetch("known", [uuid.UUID(each) for each in event_ids])
        return {row.id: decode_row(row, self._registry) for row in map(codec.row, rows)}

    async def stretch(
        self, wanted: Sequence[Wanted], after: tuple[int, int], limit: int, *, among: Sequence[str] = ()
    ) -> Stretch:
        """Read a stretch of finished transactions behind a place."""
        ids = [uuid.UUID(each) for each in among]
        (row,) = await self._fetch("stretch", msgspec.json.encode(wanted), *after, limit, ids)
        return Stretch(
            size=row["size"],
            end=_place(row["end"], after),
            settled=_place(row["settled"], after),
            open=msgspec.json.decode(row["open"] or b"[]", type=tuple[Open, ...]),
        )

    async def waits_s(self) -> float:
        """Return how long the oldest event has waited for a relay that tries to publish it."""
        (row,) = await self._fetch("waits", TRIES_S)
        return float(row["waits_s"])

    async def requeue(self, claim: LeaseClaim, wanted: Sequence[Wanted], after: tuple[int, int]) -> int:
        """Put every open event behind a place back into its service's outbox, chunk by chunk."""
        put = 0
        consumers = msgspec.json.encode(wanted)
        while True:
            (row,) = await self._fetch("requeue", claim.name, claim.epoch, consumers, *after, CHUNK)
            if not row["fenced"]:
                raise StaleLeaseError(claim.name, claim.epoch)
            put += int(row["put"])
            if row["end"] is None:
                return put
            after = _place(row["end"], after)

    async def republished(self, epoch: int) -> bool:
        """Tell whether everything that was requeued has left the outbox."""
        (row,) = await self._fetch("republished", epoch)
        return bool(row["republished"])

    async def _fenced(self, name: str, claim: LeaseClaim, *args: Any) -> None:
        if not await self._fetch(name, claim.name, claim.epoch, *args):
            raise StaleLeaseError(claim.name, claim.epoch)

    async def _fetch(self, name: str, *args: object) -> list[asyncpg.Record]:
        return await self._connections.fetch(queries[name], *args)


def _place(pair: list[int] | None, otherwise: tuple[int, int]) -> tuple[int, int]:
    return (pair[0], pair[1]) if pair else otherwise
