"""The record's in-memory twin: the same answers and refusals as Postgres, for one process and its tests.

An append is a transaction as there: it takes its number, then its positions, then commits, and holds what it writes
until then. Without a `pace` all of that is one step. With one, transactions overlap as those of several connections do:
numbers, positions and commits come in different orders, and readers must bear it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from contracts.message import CARRIER, Recorded, Registry, category_of
from libs.eventstore.row import Row, Sealed, decode_row, seal, verify_chain, verify_end
from libs.eventstore.store import (
    Append,
    Arrival,
    Beat,
    BusEpoch,
    Condition,
    ConflictError,
    Cursor,
    Document,
    DocumentWrite,
    Due,
    DuplicateDeliveryError,
    EventStoreError,
    Lease,
    LeaseClaim,
    Page,
    Projection,
    Snapshot,
    StaleLeaseError,
    StreamHead,
    Switch,
    Timer,
)

_json = msgspec.json.decode


class Clock(Protocol):
    """Tells the time by which leases and outbox rows age."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


class _Transaction:
    """An append that has begun and not ended."""

    def __init__(self, xid: int, locks: frozenset[Hashable], lease: str) -> None:
        self.xid, self.locks, self.lease = xid, locks, lease
        self.ended = asyncio.Event()


class MemoryStore:
    """Holds everything in dictionaries; what an append writes is written in one step, at its commit."""

    def __init__(
        self, registry: Registry, clock: Clock, pace: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._registry, self._clock = registry, clock
        #: Awaited by a transaction before it takes its positions, and again before it commits.
        self._pace = pace
        #: What is committed, by position. What was undone leaves a gap.
        self._rows: dict[int, Row] = {}
        self._recorded: dict[int, Recorded] = {}
        #: (xid, position) of what is committed, in reading order; and the positions in theirs.
        self._order: list[tuple[int, int]] = []
        self._positions: list[int] = []
        self._open: dict[int, _Transaction] = {}
        self._last_position = 0
        self._streams: dict[str, list[int]] = {}
        self._heads: dict[str, StreamHead] = {}
        self._by_id: dict[str, int] = {}
        self._inbox: dict[tuple[str, str], int] = {}
        #: Cursor by follower; last version handled by follower and stream, where it is held back.
        self._followers: dict[str, Cursor] = {}
        self._held_back: dict[tuple[str, str], int] = {}
        #: Position to (service, when it was written).
        self._outbox: dict[int, tuple[str, datetime]] = {}
        self._timers: dict[tuple[str, str], Timer] = {}
        self._leases: dict[str, Lease] = {}
        #: By view, generation and key.
        self._documents: dict[tuple[str, int, str], Document] = {}
        self._projections: dict[str, Projection] = {}
        self._snapshots: dict[str, Snapshot] = {}
        #: By kind, subject and beginning.
        self._conditions: dict[tuple[str, str, datetime], Condition] = {}
        #: The auditor's, in `libs/busaudit/memory.py`.
        self._epoch = BusEpoch()
        self.audit: bytes | None = None
        self._xid = 0
        self._appended = asyncio.Event()

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Make an append true and return what was recorded."""
        sealed = seal(append, self._registry)
        # Somebody else may be first, as on the way to a database.
        await asyncio.sleep(0)
        locks = _locks(sealed)
        await self._wait_for(lambda other: not locks.isdisjoint(other.locks))
        self._check(sealed)
        self._xid += 1
        transaction = _Transaction(self._xid, locks, append.lease.name if append.lease else "")
        self._open[transaction.xid] = transaction
        try:
            if self._pace is not None:
                await self._pace()
            positions = [self._last_position + place for place in range(1, len(sealed.rows) + 1)]
            self._last_position += len(positions)
            if self._pace is not None:
                await self._pace()
                self._check_ids(sealed)
            return self._write(sealed, transaction.xid, positions)
        finally:
            del self._open[transaction.xid]
            transaction.ended.set()

    def _in_order(self) -> list[Recorded]:
        return [self._recorded[position] for _, position in self._order]

    async def _wait_for(self, blocks: Callable[[_Transaction], bool]) -> None:
        while held := next((other for other in self._open.values() if blocks(other)), None):
            await held.ended.wait()

    def _check(self, sealed: Sealed) -> None:
        append = sealed.append
        if append.lease is not None:
            held = self._leases.get(append.lease.name)
            if held is None or held.epoch != append.lease.epoch:
                raise StaleLeaseError(append.lease.name, append.lease.epoch)
        number = append.generation.number if append.generation else 0
        if append.generation is not None and not append.generation.building:
            read = self._projections.get(append.generation.projection)
            if read is None or read.generation != number:
                raise ConflictError(f"projection {append.generation.projection}", number)
        # By name, as Postgres does: of several reasons to refuse, both give the same one.
        for mark in sorted(append.inbox, key=lambda mark: (mark.consumer, mark.stream)):
            if self.inbox(mark.consumer, mark.stream) != mark.before:
                raise DuplicateDeliveryError(mark.consumer, mark.stream)
        cursor = append.cursor
        if cursor is not None and self._followers.get(cursor.consumer, cursor.before) != cursor.before:
            raise DuplicateDeliveryError(cursor.consumer)
        for hold in sorted(append.holds, key=lambda hold: (hold.consumer, hold.stream)):
            if self._held_back.get((hold.consumer, hold.stream)) != hold.before:
                raise DuplicateDeliveryError(hold.consumer)
        for before, _ in sorted(sealed.heads, key=lambda heads: heads[0].stream):
            head = self._heads.get(before.stream, StreamHead(stream=before.stream))
            if (head.version, head.hash) != (before.version, before.hash):
                raise ConflictError(before.stream, before.version)
        self._check_ids(sealed)
        for write in sorted(append.documents, key=lambda write: (write.view, write.key)):
            document = self._documents.get((write.view, number, write.key))
            if (document.version if document else 0) != write.before:
                raise ConflictError(f"{write.view}/{write.key}", write.before)

    def _check_ids(self, sealed: Sealed) -> None:
        ids = [row.id for row in sealed.rows]
        if len(set(ids)) < len(ids) or any(id_ in self._by_id for id_ in ids):
            first = sealed.heads[0][0]
            raise ConflictError(first.stream, first.version)

    def _write(self, sealed: Sealed, xid: int, positions: Sequence[int]) -> tuple[Recorded, ...]:
        append, now = sealed.append, self._clock.now()
        recorded = sealed.recorded(positions, xid)
        for sealed_row, event in zip(sealed.rows, recorded, strict=True):
            row = msgspec.structs.replace(sealed_row, position=event.position, xid=event.xid)
            self._rows[row.position] = row
            # Readers get what they would read back, not the writer's own object.
            self._recorded[row.position] = decode_row(row, self._registry)
            insort(self._order, (row.xid, row.position))
            insort(self._positions, row.position)
            self._streams.setdefault(row.stream, []).append(event.position)
            self._by_id[row.id] = event.position
            self._outbox[event.position] = (append.service, now)
        for _, after in sorted(sealed.heads, key=lambda heads: heads[1].stream):
            self._heads[after.stream] = after
        for mark in append.inbox:
            self._inbox[(mark.consumer, mark.stream)] = mark.version
        if append.cursor is not None:
            self._followers[append.cursor.consumer] = append.cursor.after
        for hold in append.holds:
            if hold.version is None:
                self._held_back.pop((hold.consumer, hold.stream), None)
            else:
                self._held_back[hold.consumer, hold.stream] = hold.version
        for clear in append.clear_timers:
            self._timers.pop((clear.service, clear.key), None)
        for timer in append.timers:
            self._timers[(timer.service, timer.key)] = timer
        for write in append.documents:
            self._write_document(write, append.generation.number if append.generation else 0)
        self._appended.set()
        self._appended = asyncio.Event()
        return recorded

    def _write_document(self, write: DocumentWrite, generation: int) -> None:
        place = (write.view, generation, write.key)
        if write.data is None:
            self._documents.pop(place, None)
            return
        self._documents[place] = Document(
            view=write.view,
            key=write.key,
            data=write.data,
            version=write.before + 1,
            sort=write.sort,
        )

    async def read_stream(
        self,
        stream: str,
        after: int = 0,
        *,
        types: Sequence[str] = (),
        upto: int = 0,
        carried: bool = False,
    ) -> list[Recorded]:
        """Read a stream's events; all of them could be read when they were appended."""
        events = (self._recorded[position] for position in self._streams.get(stream, ())[after:])
        return [
            event
            for event in events
            if (not types or event.type in types) and (not upto or event.version <= upto)
        ]

    async def read_streams(self, streams: Sequence[str], *, upto: int) -> list[Recorded]:
        """Read the events of several streams."""
        return [event for stream in streams for event in await self.read_stream(stream, upto=upto)]

    async def read_all(
        self, after: Cursor, *, limit: int = 500, categories: Sequence[str] = ()
    ) -> list[Recorded]:
        """Read events of finished transactions in order."""
        # Nothing can appear any more among or before what lies before the oldest transaction that is open.
        bound = min(self._open, default=self._xid + 1)
        found: list[Recorded] = []
        for at in range(bisect_right(self._order, (after.xid, after.position)), len(self._order)):
            xid, position = self._order[at]
            if len(found) == limit or xid >= bound:
                break
            event = self._recorded[position]
            if not categories or category_of(event.stream) in categories:
                found.append(event)
        return found

    async def scan(
        self, after: Cursor, *, categories: Sequence[str] = (), upto: Cursor | None = None
    ) -> AsyncIterator[Recorded]:
        """Read events of all streams, of any length."""
        while page := await self.read_all(after, categories=categories):
            for event in page:
                after = Cursor(xid=event.xid, position=event.position)
                if upto is not None and after > upto:
                    return
                yield event

    async def cursor_of(self, position: int) -> Cursor:
        """Find the place of a public position; one that was never committed stands for the one before it."""
        known = bisect_right(self._positions, position)
        if not known:
            return Cursor()
        last = self._positions[known - 1]
        return Cursor(xid=self._recorded[last].xid, position=last)

    async def end(self) -> Cursor:
        """Return the place of the last event of finished transactions."""
        finished = bisect_left(self._order, (min(self._open, default=self._xid + 1), 0))
        if not finished:
            return Cursor()
        xid, position = self._order[finished - 1]
        return Cursor(xid=xid, position=position)

    async def find(self, event_id: str) -> Recorded | None:
        """Find an event by id."""
        position = self._by_id.get(event_id)
        return self._recorded[position] if position else None

    async def verify(self, stream: str) -> StreamHead:
        """Recompute a stream's hash chain."""
        rows = (self._rows[position] for position in self._streams.get(stream, ()))
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
        """Return the last version of a stream that a consumer or follower has handled."""
        if (consumer, stream) in self._inbox:
            return self.inbox(consumer, stream)
        if (consumer, stream) in self._held_back:
            return self._held_back[consumer, stream]
        cursor = self._followers.get(consumer, Cursor())
        events = (self._recorded[position] for position in self._streams.get(stream, ()))
        read = [event for event in events if Cursor(xid=event.xid, position=event.position) <= cursor]
        return read[-1].version if read else 0

    async def unhandled(self, consumer: str, types: Sequence[str], *, among: int = 5_000) -> list[Recorded]:
        """Read what a consumer has not handled of the newest events."""
        return [
            event
            for event in self._in_order()[-among:]
            if (not types or event.type in types) and event.version > self.inbox(consumer, event.stream)
        ]

    async def due(self, consumer: str, arrivals: Sequence[Arrival], types: Sequence[str]) -> list[Due]:
        """Look up for each arrival what the consumer has handled and what it has missed."""
        found: list[Due] = []
        for arrival in arrivals:
            handled = self.inbox(consumer, arrival.stream)
            after = max(handled, arrival.after)
            missed: list[Recorded] = []
            if after < arrival.version - 1:
                missed = await self.read_stream(arrival.stream, after, types=types, upto=arrival.version - 1)
            found.append(Due(handled=handled, missed=tuple(missed)))
        return found

    async def follower(self, consumer: str, types: Sequence[str]) -> Cursor:
        """Tell up to where a follower has read."""
        known = self._followers.get(consumer)
        if known is not None:
            return known
        place = Cursor()
        for event in await self.read_all(place, limit=len(self._order)):
            if (not types or event.type in types) and event.version > self.inbox(consumer, event.stream):
                return Cursor(xid=event.xid, position=event.position - 1)
            place = Cursor(xid=event.xid, position=event.position)
        return place

    async def behind(self, consumer: str) -> float:
        """Return the age of the first event that a follower has not read."""
        cursor = self._followers.get(consumer, Cursor())
        unread = self._order[bisect_right(self._order, (cursor.xid, cursor.position)) :][:1]
        return max((self.age_s(self._recorded[position]) for _, position in unread), default=0.0)

    async def held_back(self, consumer: str) -> dict[str, int]:
        """List the streams that are held back from a follower."""
        return {stream: version for (of, stream), version in self._held_back.items() if of == consumer}

    async def read_page(self, after: Cursor, types: Sequence[str], *, limit: int) -> Page | None:
        """Look at the next events of finished transactions."""
        found = await self.read_all(after, limit=limit)
        if not found:
            return None
        wanted = tuple(event for event in found if not types or event.type in types)
        end = Cursor(xid=found[-1].xid, position=found[-1].position)
        return Page(events=wanted, end=end, size=len(found))

    async def pending_outbox(self, service: str, *, older_than_s: float, limit: int = 500) -> list[Recorded]:
        """Read events that were committed but not confirmed as published, to be passed on as they are."""
        positions = sorted(self._unpublished(service, older_than_s))
        return [decode_row(self._rows[position], CARRIER) for position in positions[:limit]]

    def _unpublished(self, service: str, older_than_s: float) -> list[int]:
        latest = self._clock.now() - timedelta(seconds=older_than_s)
        return [at for at, (owner, since) in self._outbox.items() if owner == service and since <= latest]

    async def published(self, positions: Sequence[int]) -> None:
        """Forget outbox rows."""
        for position in positions:
            self._outbox.pop(position, None)

    def stretch(self, after: int, limit: int | None = None) -> list[Recorded]:
        """Return events behind a position; for the auditor."""
        first = bisect_right(self._positions, after)
        last = None if limit is None else first + limit
        return [self._recorded[position] for position in self._positions[first:last]]

    def inbox(self, consumer: str, stream: str) -> int:
        """Return the last version that a consumer has handled, without waiting."""
        return self._inbox.get((consumer, stream), 0)

    def in_outbox(self, position: int) -> bool:
        """Tell whether an event waits for its publication; for the auditor."""
        return position in self._outbox

    def waits_s(self, tries_s: float) -> float:
        """Return how long the oldest event has waited for a relay whose lease ended less than so long ago; for the auditor."""
        now = self._clock.now()
        ages = [
            (now - since).total_seconds()
            for service, since in self._outbox.values()
            if (lease := self._leases.get(f"relay-{service}"))
            and lease.until > now - timedelta(seconds=tries_s)
        ]
        return max(ages, default=0.0)

    def age_s(self, event: Recorded) -> float:
        """Return the seconds since an event was recorded; for the auditor."""
        return (self._clock.now() - event.recorded_at).total_seconds()

    def requeue(self, events: Sequence[Recorded]) -> set[int]:
        """Put events back into the outbox, old enough for the next sweep; for the auditor."""
        for event in events:
            self._outbox.setdefault(
                event.position, (event.meta.service, self._clock.now() - timedelta(seconds=10))
            )
        return {event.position for event in events}

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
        """Take a lease, raising its epoch, once appends in flight under the old one are finished."""
        await self._wait_for(lambda other: other.lease == name)
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

    async def beat(
        self, lease: LeaseClaim, ttl_s: float, service: str, *, older_than_s: float
    ) -> Beat | None:
        """Extend a lease and look what there is to do for a service."""
        if not await self.renew(lease.name, lease.epoch, ttl_s):
            return None
        return Beat(
            end=await self.end(),
            left_behind=bool(self._unpublished(service, older_than_s)),
            due=await self.next_timer(service),
        )

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

    async def bus_epoch(self) -> BusEpoch:
        """Tell the current epoch of the bus."""
        return self._epoch

    @property
    def epoch(self) -> BusEpoch:
        """The current epoch of the bus."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: BusEpoch) -> None:
        if epoch.epoch > 1 and epoch.epoch != self._epoch.epoch:
            self._begin("bus_epoch", str(epoch.epoch), epoch.reason)
        self._epoch = epoch
        if epoch.sound:
            self._end("bus_epoch", str(epoch.epoch))

    async def conditions(self, *, within_s: float) -> list[Condition]:
        """List what has not ended, or ended within so many seconds."""
        since = self._clock.now() - timedelta(seconds=within_s)
        found = [one for one in self._conditions.values() if one.ended is None or one.ended > since]
        return sorted(found, key=lambda one: (one.began, one.kind, one.subject))

    async def note_rebuild(self, lease: LeaseClaim, name: str, failure: str) -> None:
        """Keep whether a projection can be built anew."""
        held = self._leases.get(lease.name)
        if held is None or held.epoch != lease.epoch:
            raise StaleLeaseError(lease.name, lease.epoch)
        if failure:
            self._begin("rebuild_failed", name, failure)
        else:
            self._end("rebuild_failed", name)

    def _open_conditions(self, kind: str, subject: str) -> list[Condition]:
        return [
            one
            for one in self._conditions.values()
            if (one.kind, one.subject, one.ended) == (kind, subject, None)
        ]

    def _begin(self, kind: str, subject: str, reason: str) -> None:
        if not self._open_conditions(kind, subject):
            began = self._clock.now()
            self._conditions[kind, subject, began] = Condition(
                kind=kind, subject=subject, began=began, reason=reason
            )

    def _end(self, kind: str, subject: str) -> None:
        for one in self._open_conditions(kind, subject):
            ended = msgspec.structs.replace(one, ended=self._clock.now())
            self._conditions[one.kind, one.subject, one.began] = ended

    async def document(self, view: str, key: str, *, generation: int | None = None) -> Document | None:
        """Read one document."""
        number = self._read_generation(view) if generation is None else generation
        return self._documents.get((view, number, key))

    async def documents(
        self, view: str, *, limit: int = 100, before: str = "", generation: int | None = None
    ) -> list[Document]:
        """List a read model, greatest `sort` first."""
        number = self._read_generation(view) if generation is None else generation
        found = [
            item
            for (of, of_number, _), item in self._documents.items()
            if (of, of_number) == (view, number) and (not before or item.sort < before)
        ]
        return sorted(found, key=lambda item: (item.sort, item.key), reverse=True)[:limit]

    def _read_generation(self, view: str) -> int:
        return next((one.generation for one in self._projections.values() if view in one.views), 0)

    async def register(self, name: str, views: Sequence[str], version: int) -> Projection:
        """Make a projection known and return what is read of it."""
        written = any(view in views for view, _, _ in self._documents)
        first = Projection(name=name, generation=0, version=1 if written else version, views=tuple(views))
        return self._projections.setdefault(name, first)

    async def switch(self, switch: Switch) -> None:
        """Have another generation read."""
        held, read = self._leases.get(switch.lease.name), self._projections.get(switch.name)
        if held is None or held.epoch != switch.lease.epoch:
            raise StaleLeaseError(switch.lease.name, switch.lease.epoch)
        at = self._followers.get(switch.consumer, Cursor())
        if read is None or read.generation != switch.generation or at > switch.upto:
            raise ConflictError(f"projection {switch.name}", switch.generation)
        self._projections[switch.name] = Projection(
            name=switch.name, generation=switch.to, version=switch.version, views=switch.views
        )
        self._followers[switch.consumer] = switch.upto
        for stream in await self.held_back(switch.consumer):
            del self._held_back[switch.consumer, stream]

    async def generations(self, views: Sequence[str]) -> list[int]:
        """List the generations of which there are documents."""
        return sorted({generation for view, generation, _ in self._documents if view in views})

    async def discard(self, views: Sequence[str], generation: int, *, most: int = 200) -> int:
        """Remove some documents of a generation that is not read."""
        if any(self._read_generation(view) == generation for view in views):
            raise EventStoreError(f"generation {generation} is the one that is read")
        gone = [place for place in self._documents if place[0] in views and place[1] == generation][:most]
        for place in gone:
            del self._documents[place]
        return len(gone)

    async def compare(
        self, view: str, generations: tuple[int, int], after: str, *, limit: int = 100
    ) -> list[tuple[str, bool]]:
        """Compare two generations of a view, key by key."""
        keys = {key for of, number, key in self._documents if of == view and number in generations}
        found: list[tuple[str, bool]] = []
        for key in sorted(key for key in keys if key > after)[:limit]:
            one, other = (self._documents.get((view, number, key)) for number in generations)
            alike = one and other and one.sort == other.sort and _json(one.data) == _json(other.data)
            found.append((key, bool(alike)))
        return found

    async def snapshot(self, stream: str) -> Snapshot | None:
        """Read a stream's snapshot."""
        return self._snapshots.get(stream)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        known = self._snapshots.get(snapshot.stream)
        if known is None or known.version < snapshot.version or known.fingerprint != snapshot.fingerprint:
            self._snapshots[snapshot.stream] = snapshot

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


def _locks(sealed: Sealed) -> frozenset[Hashable]:
    """Name the rows that an append writes: until it ends, others that write them wait, and then look again."""
    append = sealed.append
    rows: Iterable[Hashable] = (
        *(("stream", before.stream) for before, _ in sealed.heads),
        *(("document", write.view, write.key) for write in append.documents),
        *(("timer", timer.service, timer.key) for timer in append.timers),
        *(("timer", clear.service, clear.key) for clear in append.clear_timers),
        *(("inbox", mark.consumer, mark.stream) for mark in append.inbox),
        *(("cursor", mark.consumer) for mark in (append.cursor,) if mark is not None),
        *(("hold", mark.consumer, mark.stream) for mark in append.holds),
    )
    return frozenset(rows)
