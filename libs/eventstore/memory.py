"""The record's in-memory twin: the same answers and refusals as Postgres, for one process and its tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from contracts.message import Recorded, Registry, category_of
from libs.eventstore.row import Row, Sealed, decode_row, seal, verify_chain, verify_end
from libs.eventstore.store import (
    Append,
    Arrival,
    ConflictError,
    Cursor,
    Document,
    DocumentWrite,
    Due,
    DuplicateDeliveryError,
    Lease,
    StaleLeaseError,
    StreamHead,
    Timer,
)


class Clock(Protocol):
    """Tells the time by which leases and outbox rows age."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


class MemoryStore:
    """Holds everything in dictionaries; an append has no await in it, so it is atomic."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self._rows: list[Row] = []
        self._recorded: list[Recorded] = []
        self._streams: dict[str, list[int]] = {}
        self._heads: dict[str, StreamHead] = {}
        self._by_id: dict[str, int] = {}
        self._inbox: dict[tuple[str, str], int] = {}
        #: Position to (service, when it was written).
        self._outbox: dict[int, tuple[str, datetime]] = {}
        self._timers: dict[tuple[str, str], Timer] = {}
        self._leases: dict[str, Lease] = {}
        self._documents: dict[tuple[str, str], Document] = {}
        self._xid = 0
        self._appended = asyncio.Event()

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Make an append true and return what was recorded."""
        sealed = seal(append, self._registry)
        # Somebody else may be first, as on the way to a database.
        await asyncio.sleep(0)
        self._check(sealed)
        return self._write(sealed)

    def _check(self, sealed: Sealed) -> None:
        append = sealed.append
        if append.lease is not None:
            held = self._leases.get(append.lease.name)
            if held is None or held.epoch != append.lease.epoch:
                raise StaleLeaseError(append.lease.name, append.lease.epoch)
        # By name, as Postgres does: of several reasons to refuse, both give the same one.
        for mark in sorted(append.inbox, key=lambda mark: (mark.consumer, mark.stream)):
            if self._inbox.get((mark.consumer, mark.stream), 0) != mark.before:
                raise DuplicateDeliveryError(mark.consumer, mark.stream)
        for before, _ in sorted(sealed.heads, key=lambda heads: heads[0].stream):
            head = self._heads.get(before.stream, StreamHead(stream=before.stream))
            if (head.version, head.hash) != (before.version, before.hash):
                raise ConflictError(before.stream, before.version)
        ids = [row.id for row in sealed.rows]
        if len(set(ids)) < len(ids) or any(id_ in self._by_id for id_ in ids):
            first = sealed.heads[0][0]
            raise ConflictError(first.stream, first.version)
        for write in sorted(append.documents, key=lambda write: (write.view, write.key)):
            document = self._documents.get((write.view, write.key))
            if (document.version if document else 0) != write.before:
                raise ConflictError(f"{write.view}/{write.key}", write.before)

    def _write(self, sealed: Sealed) -> tuple[Recorded, ...]:
        append, now = sealed.append, self._clock.now()
        self._xid += 1
        positions = [len(self._rows) + place for place in range(1, len(sealed.rows) + 1)]
        recorded = sealed.recorded(positions, self._xid)
        for sealed_row, event in zip(sealed.rows, recorded, strict=True):
            row = msgspec.structs.replace(sealed_row, position=event.position, xid=event.xid)
            self._rows.append(row)
            # Readers get what they would read back, not the writer's own object.
            self._recorded.append(decode_row(row, self._registry))
            self._streams.setdefault(row.stream, []).append(event.position)
            self._by_id[row.id] = event.position
            self._outbox[event.position] = (append.service, now)
        for _, after in sorted(sealed.heads, key=lambda heads: heads[1].stream):
            self._heads[after.stream] = after
        for mark in append.inbox:
            self._inbox[(mark.consumer, mark.stream)] = mark.version
        for clear in append.clear_timers:
            self._timers.pop((clear.service, clear.key), None)
        for timer in append.timers:
            self._timers[(timer.service, timer.key)] = timer
        for write in append.documents:
            self._write_document(write)
        self._appended.set()
        self._appended = asyncio.Event()
        return recorded

    def _write_document(self, write: DocumentWrite) -> None:
        if write.data is None:
            self._documents.pop((write.view, write.key), None)
            return
        self._documents[(write.view, write.key)] = Document(
            view=write.view,
            key=write.key,
            data=write.data,
            version=write.before + 1,
            sort=write.sort,
        )

    async def read_stream(
        self, stream: str, after: int = 0, *, types: Sequence[str] = (), upto: int = 0
    ) -> list[Recorded]:
        """Read a stream's events."""
        events = (self._recorded[position - 1] for position in self._streams.get(stream, ())[after:])
        return [
            event
            for event in events
            if (not types or event.type in types) and (not upto or event.version <= upto)
        ]

    async def read_all(
        self, after: Cursor, *, limit: int = 500, categories: Sequence[str] = ()
    ) -> list[Recorded]:
        """Read events of all streams; here every append is finished before the next one begins."""
        found: list[Recorded] = []
        for at in range(after.position, len(self._recorded)):
            if len(found) == limit:
                break
            event = self._recorded[at]
            if not categories or category_of(event.stream) in categories:
                found.append(event)
        return found

    async def cursor_of(self, position: int) -> Cursor:
        """Find the place of a public position."""
        known = min(position, len(self._recorded))
        return Cursor(xid=self._recorded[known - 1].xid, position=known) if known > 0 else Cursor()

    async def find(self, event_id: str) -> Recorded | None:
        """Find an event by id."""
        position = self._by_id.get(event_id)
        return self._recorded[position - 1] if position else None

    async def verify(self, stream: str) -> StreamHead:
        """Recompute a stream's hash chain."""
        rows = (self._rows[position - 1] for position in self._streams.get(stream, ()))
        start = StreamHead(stream=stream)
        return verify_end(verify_chain(start, rows), self._heads.get(stream, start))

    async def heads(
        self,
        category: str,
        *,
        open_only: bool = False,
        limit: int = 1000,
        after: str = "",
    ) -> list[StreamHead]:
        """List streams of a category, the last created first."""
        names = [name for name in reversed(self._heads) if category_of(name) == category]
        if after:
            names = names[names.index(after) + 1 :] if after in names else []
        heads = [self._heads[name] for name in names]
        return [head for head in heads if not (open_only and head.ended)][:limit]

    async def handled(self, consumer: str, stream: str) -> int:
        """Return the last version of a stream that a consumer has handled."""
        return self._inbox.get((consumer, stream), 0)

    async def due(self, consumer: str, arrivals: Sequence[Arrival], types: Sequence[str]) -> list[Due]:
        """Look up for each arrival what the consumer has handled and what it has missed."""
        found: list[Due] = []
        for arrival in arrivals:
            handled = self._inbox.get((consumer, arrival.stream), 0)
            after = max(handled, arrival.after)
            missed: list[Recorded] = []
            if after < arrival.version - 1:
                missed = await self.read_stream(arrival.stream, after, types=types, upto=arrival.version - 1)
            found.append(Due(handled=handled, missed=tuple(missed)))
        return found

    async def pending_outbox(self, service: str, *, older_than_s: float, limit: int = 500) -> list[Recorded]:
        """Read events that were committed but not confirmed as published."""
        latest = self._clock.now() - timedelta(seconds=older_than_s)
        positions = sorted(
            at for at, (owner, since) in self._outbox.items() if owner == service and since <= latest
        )
        return [self._recorded[position - 1] for position in positions[:limit]]

    async def published(self, positions: Sequence[int]) -> None:
        """Forget outbox rows."""
        for position in positions:
            self._outbox.pop(position, None)

    async def due_timers(self, service: str, now: datetime, *, limit: int = 100) -> list[Timer]:
        """Read timers that are due, the earliest first."""
        due = [timer for timer in self._timers.values() if timer.service == service and timer.due <= now]
        return sorted(due, key=lambda timer: (timer.due, timer.key))[:limit]

    async def next_timer(self, service: str) -> datetime | None:
        """Return when the service's next timer is due."""
        return min(
            (timer.due for timer in self._timers.values() if timer.service == service),
            default=None,
        )

    async def acquire(self, name: str, holder: str, ttl_s: float, *, takeover: bool = False) -> Lease | None:
        """Take a lease, raising its epoch."""
        now, held = self._clock.now(), self._leases.get(name)
        if held is not None and not takeover and held.until > now and held.holder != holder:
            return None
        epoch = held.epoch + 1 if held else 1
        lease = Lease(name=name, holder=holder, epoch=epoch, until=now + timedelta(seconds=ttl_s))
        self._leases[name] = lease
        return lease

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        """Extend a lease."""
        return self._lapse_at(name, epoch, self._clock.now() + timedelta(seconds=ttl_s))

    async def release(self, name: str, epoch: int) -> None:
        """Let a lease lapse at once."""
        self._lapse_at(name, epoch, self._clock.now())

    def _lapse_at(self, name: str, epoch: int, until: datetime) -> bool:
        held = self._leases.get(name)
        if held is None or held.epoch != epoch:
            return False
        self._leases[name] = msgspec.structs.replace(held, until=until)
        return True

    async def leases(self) -> list[Lease]:
        """List all leases by name."""
        return [self._leases[name] for name in sorted(self._leases)]

    async def document(self, view: str, key: str) -> Document | None:
        """Read one document."""
        return self._documents.get((view, key))

    async def documents(self, view: str, *, limit: int = 100, before: str = "") -> list[Document]:
        """List a read model, greatest `sort` first."""
        found = [
            item
            for item in self._documents.values()
            if item.view == view and (not before or item.sort < before)
        ]
        return sorted(found, key=lambda item: (item.sort, item.key), reverse=True)[:limit]

    async def tail(self, after: Cursor) -> AsyncIterator[Recorded]:
        """Follow the record from a place on."""
        while True:
            appended = self._appended
            found = await self.read_all(after)
            for event in found:
                after = Cursor(xid=event.xid, position=event.position)
                yield event
            if not found:
                await appended.wait()

    async def ping(self) -> None:
        """Answer."""

    async def close(self) -> None:
        """Keep everything: whoever holds the object may go on reading."""
