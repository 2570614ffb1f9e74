"""The record in Postgres: one append is one round trip, and appends that wait for each other share a commit."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import asyncpg
import msgspec

from contracts.message import CARRIER, Recorded, Registry
from libs.eventstore import codec
from libs.eventstore.connections import Connections
from libs.eventstore.group import GroupCommit
from libs.eventstore.hint import Hints
from libs.eventstore.row import Sealed, decode_row, seal, verify_chain, verify_end
from libs.eventstore.scan import scan
from libs.eventstore.sql import queries
from libs.eventstore.store import (
    Append,
    Arrival,
    Beat,
    BusEpoch,
    Condition,
    ConflictError,
    Cursor,
    Document,
    Due,
    DuplicateDeliveryError,
    EventStoreError,
    Lease,
    LeaseClaim,
    Page,
    Projection,
    Snapshot,
    StaleLeaseError,
    StoreUnavailableError,
    StreamHead,
    Switch,
    Timer,
)

#: Seconds after which who tails the record looks by itself, doubled each time that it finds nothing, and at most.
POLL_S, LONGEST_POLL_S = 0.25, 2.0
#: Seconds in which commits share one hint to followers.
ANNOUNCE_S = 0.05
#: How often an append is tried that Postgres chose as the victim of a deadlock.
DEADLOCK_TRIES = 4
#: Rows read at once where a stream is verified.
PAGE = 500


class _Answer(NamedTuple):
    """What the record says to one append."""

    refusal: str | None
    subject: str
    expected: int
    positions: tuple[int, ...]
    xid: int


class PostgresStore:
    """The record, as `libs.eventstore.store.Store` describes it."""

    def __init__(self, connections: Connections, hints: Hints, registry: Registry) -> None:
        self._connections, self._hints, self._registry = connections, hints, registry
        self._group = GroupCommit(self._commit)
        self._announcement: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, dsn: str, registry: Registry, *, pool_size: int = 4) -> PostgresStore:
        """Connect as the services' role to a migrated database. Raises StoreUnavailableError."""
        return cls(await Connections.open(dsn, pool_size), Hints(dsn), registry)

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Make an append true and return what was recorded."""
        sealed = seal(append, self._registry)
        for _ in range(DEADLOCK_TRIES):
            result = await self._group.submit(sealed)
            if isinstance(result, EventStoreError):
                # One failure, many waiters: each gets an exception of its own.
                raise type(result)(*result.args) from result
            if result.refusal is None:
                return sealed.recorded(result.positions, result.xid)
            if result.refusal != "deadlock":
                raise _refusal(append, result)
        raise StoreUnavailableError(
            "other appends lock the same streams again and again; nothing was written"
        )

    async def _commit(self, group: Sequence[Sealed]) -> list[_Answer | EventStoreError]:
        answers = await self._write(group, codec.bundles(group))
        refused = [place for place, answer in enumerate(answers) if answer is None]
        if refused:
            # Some member undid its bundle: each by itself gets the answer that is its own.
            again = await self._write(
                [group[place] for place in refused], [[at] for at in range(len(refused))]
            )
            for place, answer in zip(refused, again, strict=True):
                answers[place] = answer
        self._announce()
        settled = [answer for answer in answers if answer is not None]
        assert len(settled) == len(group), "a member of its own is answered in any case"
        return settled

    async def _write(
        self, group: Sequence[Sealed], bundles: Sequence[Sequence[int]]
    ) -> list[_Answer | EventStoreError | None]:
        """Write bundles in one transaction; None for each member of a bundle of several that was refused."""
        requests, documents = codec.requests([group[place] for place in bundle] for bundle in bundles)
        answers: list[_Answer | EventStoreError | None] = [None] * len(group)
        try:
            rows = await self._fetch("append", requests, documents)
        except StoreUnavailableError as error:
            return [error] * len(group)
        except EventStoreError as error:
            if len(group) > 1:
                # One of them cannot be carried out and has undone all.
                return [(await self._write([sealed], [[0]]))[0] for sealed in group]
            return [error]
        for bundle, row in zip(bundles, rows, strict=True):
            if row["refusal"] is not None and len(bundle) > 1:
                continue
            positions = iter(row["positions"] or ())
            for place in bundle:
                own = tuple(islice(positions, len(group[place].rows)))
                answers[place] = _Answer(
                    row["refusal"], row["subject"], row["expected"], own, row["xid"] or 0
                )
        return answers

    def _announce(self) -> None:
        if self._announcement is None or self._announcement.done():
            self._announcement = asyncio.create_task(self._announce_soon(), name="record-announcement")

    async def _announce_soon(self) -> None:
        await asyncio.sleep(ANNOUNCE_S)
        # A hint may be lost: followers look by themselves, too.
        with contextlib.suppress(EventStoreError):
            await self._fetch("announce")

    async def read_stream(
        self,
        stream: str,
        after: int = 0,
        *,
        types: Sequence[str] = (),
        upto: int = 0,
        carried: bool = False,
    ) -> list[Recorded]:
        """Read a stream's events."""
        rows = await self._fetch("read_stream", stream, after, list(types), upto)
        return [codec.carried(row, self._registry) for row in rows] if carried else self._decode(rows)

    async def read_streams(self, streams: Sequence[str], *, upto: int) -> list[Recorded]:
        """Read the events of several streams, in one round trip."""
        return self._decode(await self._fetch("read_streams", list(streams), upto))

    async def read_all(
        self, after: Cursor, *, limit: int = 500, categories: Sequence[str] = ()
    ) -> list[Recorded]:
        """Read events of finished transactions in order."""
        return self._decode(await self._fetch("read_all", after.xid, after.position, limit, list(categories)))

    def scan(
        self, after: Cursor, *, categories: Sequence[str] = (), upto: Cursor | None = None
    ) -> AsyncIterator[Recorded]:
        """Read events of finished transactions in order, of any length."""
        return scan(self._fetch, self._registry, after, categories, upto)

    async def cursor_of(self, position: int) -> Cursor:
        """Find the place of a public position."""
        rows = await self._fetch("cursor_of", position)
        return Cursor(xid=rows[0]["xid"], position=rows[0]["position"]) if rows else Cursor()

    async def end(self) -> Cursor:
        """Return the place of the last event of finished transactions."""
        rows = await self._fetch("end")
        return Cursor(xid=rows[0]["xid"], position=rows[0]["position"]) if rows else Cursor()

    async def find(self, event_id: str) -> Recorded | None:
        """Find an event by id."""
        try:
            rows = await self._fetch("find", uuid.UUID(event_id))
        except ValueError:
            return None
        return self._decode(rows)[0] if rows else None

    async def verify(self, stream: str) -> StreamHead:
        """Recompute a stream's hash chain from the stored rows, as far as its head went at the beginning."""
        rows = await self._fetch("head", stream)
        last = codec.head(rows[0]) if rows else StreamHead(stream=stream)
        head = StreamHead(stream=stream)
        while rows := await self._fetch("read_stream_page", stream, head.version, last.version, PAGE):
            head = verify_chain(head, map(codec.row, rows))
        return verify_end(head, last)

    async def heads(
        self,
        category: str,
        *,
        open_only: bool = False,
        limit: int = 1000,
        after: str = "",
    ) -> list[StreamHead]:
        """List streams of a category, the last created first."""
        rows = await self._fetch("open_heads" if open_only else "heads", category, limit, after)
        return [codec.head(row) for row in rows]

    async def handled(self, consumer: str, stream: str) -> int:
        """Return the last version of a stream that a consumer or follower has handled."""
        rows = await self._fetch("handled", consumer, stream)
        return int(rows[0]["version"] or 0)

    async def unhandled(self, consumer: str, types: Sequence[str], *, among: int = 5_000) -> list[Recorded]:
        """Read what a consumer has not handled of the newest events."""
        return self._decode(await self._fetch("unhandled", consumer, list(types), among))

    async def due(self, consumer: str, arrivals: Sequence[Arrival], types: Sequence[str]) -> list[Due]:
        """Look up for each arrival what the consumer has handled and what it has missed, in one round trip."""
        rows = await self._fetch(
            "due",
            consumer,
            [arrival.stream for arrival in arrivals],
            [arrival.after for arrival in arrivals],
            [arrival.version for arrival in arrivals],
            list(types),
        )
        handled = [0] * len(arrivals)
        missed: list[list[Recorded]] = [[] for _ in arrivals]
        for row in rows:
            place = row["place"] - 1
            handled[place] = row["handled"]
            if row["id"] is not None:
                missed[place].append(decode_row(codec.row(row), self._registry))
        return [Due(handled=last, missed=tuple(events)) for last, events in zip(handled, missed, strict=True)]

    async def follower(self, consumer: str, types: Sequence[str]) -> Cursor:
        """Tell up to where a follower has read."""
        rows = await self._fetch("follower", consumer)
        rows = rows or await self._fetch("follower_start", consumer, list(types))
        return Cursor(xid=rows[0]["xid"], position=rows[0]["position"]) if rows else Cursor()

    async def behind(self, consumer: str) -> float:
        """Return the age of the first event that a follower has not read."""
        rows = await self._fetch("behind", consumer)
        return max(float(rows[0]["behind_s"]), 0.0) if rows else 0.0

    async def held_back(self, consumer: str) -> dict[str, int]:
        """List the streams that are held back from a follower."""
        return {row["stream"]: row["version"] for row in await self._fetch("held_back", consumer)}

    async def read_page(self, after: Cursor, types: Sequence[str], *, limit: int) -> Page | None:
        """Look at the next events of finished transactions."""
        rows = await self._fetch("read_page", after.xid, after.position, list(types), limit)
        if not rows:
            return None
        last = rows[-1]
        wanted = rows if not types or last["type"] in types else rows[:-1]
        return Page(
            events=tuple(codec.carried(row[:-1], self._registry) for row in wanted),
            end=Cursor(xid=last["xid"], position=last["position"]),
            size=last["size"],
        )

    async def pending_outbox(self, service: str, *, older_than_s: float, limit: int = 500) -> list[Recorded]:
        """Read events that were committed but not confirmed as published, to be passed on as they are."""
        rows = await self._fetch("pending_outbox", service, float(older_than_s), limit)
        return [decode_row(codec.row(row), CARRIER) for row in rows]

    async def published(self, positions: Sequence[int]) -> None:
        """Forget outbox rows."""
        await self._fetch("published", list(positions))

    async def due_timers(self, service: str, now: datetime, *, limit: int = 100) -> list[Timer]:
        """Read timers that are due, the earliest first."""
        return [codec.timer(row) for row in await self._fetch("due_timers", service, now, limit)]

    async def next_timer(self, service: str) -> datetime | None:
        """Return when the service's next timer is due."""
        due: datetime | None = (await self._fetch("next_timer", service))[0]["due"]
        return due

    async def acquire(self, name: str, holder: str, ttl_s: float, *, takeover: bool = False) -> Lease | None:
        """Take a lease, raising its epoch, once appends in flight under the old one are finished."""
        rows = await self._fetch("acquire", name, holder, float(ttl_s), takeover)
        return codec.lease(rows[0]) if rows else None

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        """Extend a lease."""
        return bool(await self._fetch("renew", name, epoch, float(ttl_s)))

    async def beat(
        self, lease: LeaseClaim, ttl_s: float, service: str, *, older_than_s: float
    ) -> Beat | None:
        """Extend a lease and look what there is to do for a service, in one round trip."""
        rows = await self._fetch("beat", lease.name, lease.epoch, float(ttl_s), service, float(older_than_s))
        return codec.beat(rows[0]) if rows else None

    async def release(self, name: str, epoch: int) -> None:
        """Let a lease lapse at once."""
        await self._fetch("release", name, epoch)

    async def leases(self) -> list[Lease]:
        """List all leases by name."""
        return [codec.lease(row) for row in await self._fetch("leases")]

    async def bus_epoch(self) -> BusEpoch:
        """Tell the current epoch of the bus."""
        rows = await self._fetch("bus_epoch")
        return BusEpoch(**dict(rows[0])) if rows else BusEpoch()

    async def conditions(self, *, within_s: float) -> list[Condition]:
        """List what has not ended, or ended within so many seconds."""
        return [Condition(**dict(row)) for row in await self._fetch("conditions", within_s)]

    async def note_rebuild(self, lease: LeaseClaim, name: str, failure: str) -> None:
        """Keep whether a projection can be built anew."""
        # An error's text may hold what a column cannot; it must be told all the same.
        told = failure.encode(errors="replace").decode().replace("\0", "?")
        if not await self._fetch("note_rebuild", lease.name, lease.epoch, name, told):
            raise StaleLeaseError(lease.name, lease.epoch)

    async def document(self, view: str, key: str, *, generation: int | None = None) -> Document | None:
        """Read one document."""
        rows = await self._fetch("document", view, key, generation)
        return codec.document(rows[0]) if rows else None

    async def documents(
        self, view: str, *, limit: int = 100, before: str = "", generation: int | None = None
    ) -> list[Document]:
        """List a read model, greatest `sort` first."""
        rows = await self._fetch("documents", view, before, limit, generation)
        return [codec.document(row) for row in rows]

    async def register(self, name: str, views: Sequence[str], version: int) -> Projection:
        """Make a projection known and return what is read of it."""
        request = msgspec.json.encode({"name": name, "views": tuple(views), "version": version})
        (row,) = await self._fetch("register_projection", request)
        return Projection(
            name=row["name"],
            generation=row["generation"],
            version=row["version"],
            views=tuple(row["views"]),
        )

    async def switch(self, switch: Switch) -> None:
        """Have another generation read."""
        request = {
            **msgspec.structs.asdict(switch),
            "xid": switch.upto.xid,
            "position": switch.upto.position,
        }
        refusal = (await self._fetch("switch_projection", msgspec.json.encode(request)))[0]["refusal"]
        if refusal == "stale_lease":
            raise StaleLeaseError(switch.lease.name, switch.lease.epoch)
        if refusal == "conflict":
            raise ConflictError(f"projection {switch.name}", switch.generation)

    async def generations(self, views: Sequence[str]) -> list[int]:
        """List the generations of which there are documents."""
        return [row["generation"] for row in await self._fetch("generations", list(views))]

    async def discard(self, views: Sequence[str], generation: int, *, most: int = 200) -> int:
        """Remove some documents of a generation that is not read."""
        rows = await self._fetch("discard_documents", list(views), generation, most)
        return int(rows[0]["removed"])

    async def compare(
        self, view: str, generations: tuple[int, int], after: str, *, limit: int = 100
    ) -> list[tuple[str, bool]]:
        """Compare two generations of a view, key by key."""
        rows = await self._fetch("compare_documents", view, *generations, after, limit)
        return [(row["key"], row["alike"]) for row in rows]

    async def snapshot(self, stream: str) -> Snapshot | None:
        """Read a stream's snapshot."""
        rows = await self._fetch("snapshot", stream)
        return Snapshot(**rows[0]) if rows else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        await self._fetch("save_snapshot", *msgspec.structs.astuple(snapshot))

    async def tail(self, after: Cursor) -> AsyncIterator[Recorded]:
        """Follow the record from a place on; an outage only delays it."""
        pause = POLL_S
        while True:
            hint = self._hints.listen()
            found: list[Recorded] = []
            with contextlib.suppress(StoreUnavailableError):
                found = await self.read_all(after)
            for event in found:
                after = Cursor(xid=event.xid, position=event.position)
                yield event
            if not found:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await hint.wait()
            # What was hinted at can be read once every transaction that began before it has ended.
            pause = POLL_S if found or hint.is_set() else min(2 * pause, LONGEST_POLL_S)

    async def ping(self) -> None:
        """Raise StoreUnavailableError unless the record answers within a second."""
        await self._connections.fetch(queries["ping"], timeout_s=1.0)

    async def close(self) -> None:
        """Give back every connection."""
        if self._announcement is not None:
            self._announcement.cancel()
        await self._hints.close()
        await self._connections.close()

    async def _fetch(self, name: str, *args: object) -> list[asyncpg.Record]:
        return await self._connections.fetch(queries[name], *args)

    def _decode(self, rows: Sequence[asyncpg.Record]) -> list[Recorded]:
        return [decode_row(codec.row(row), self._registry) for row in rows]


def _refusal(append: Append, result: _Answer) -> EventStoreError:
    if result.refusal == "stale_lease" and append.lease is not None:
        return StaleLeaseError(append.lease.name, append.lease.epoch)
    if result.refusal == "duplicate":
        for mark in append.inbox:
            if mark.stream == result.subject:
                return DuplicateDeliveryError(mark.consumer, mark.stream)
        return DuplicateDeliveryError(result.subject)
    return ConflictError(result.subject, result.expected)
