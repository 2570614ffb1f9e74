"""The record's port: append, read, inbox, outbox, timers and leases, as every implementation keeps them.

EventStoreError
├── ConflictError            an expected version was not the stream's (or document's) version
├── StaleLeaseError          the epoch named in the append is not the lease's epoch
├── DuplicateDeliveryError   the inbox, or a follower's cursor, has moved past the message
├── UnrecordableError        an event holds what the record could not give back as it was
├── ChainBrokenError         a stored event is not the one that was appended
└── StoreUnavailableError    the record could not be reached, or the outcome of a call is unknown
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from contracts.message import Event, Meta, Recorded


class EventStoreError(Exception):
    """The record refused or failed."""


class ConflictError(EventStoreError):
    """Another writer was faster: reload the stream and decide again."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(f"stream {stream} is not at version {expected}")
        self.stream, self.expected = stream, expected


class StaleLeaseError(EventStoreError):
    """The writer acts under a lease that somebody else has taken over."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(f"lease {name} has left epoch {epoch}")
        self.name, self.epoch = name, epoch


class DuplicateDeliveryError(EventStoreError):
    """The inbox row of this consumer and stream, or a follower's cursor, has been moved by another delivery."""

    def __init__(self, consumer: str, stream: str = "") -> None:
        super().__init__(f"{consumer} has already handled {stream or 'the record'} beyond this message")
        self.consumer, self.stream = consumer, stream


class UnrecordableError(EventStoreError):
    """An event cannot be recorded as it is: a bug or unchecked input of its writer, never a matter of trying again."""

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(f"an event for {stream} cannot be recorded: {reason}")
        self.stream, self.reason = stream, reason


class ChainBrokenError(EventStoreError):
    """A stream's hashes do not fit its contents: an event was changed, removed or put in."""

    def __init__(self, stream: str, version: int) -> None:
        super().__init__(f"the hash chain of {stream} breaks at version {version}")
        self.stream, self.version = stream, version


class StoreUnavailableError(EventStoreError):
    """The record could not be reached; whether the call took effect is unknown."""


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event to be appended; version and hashes are given by the append."""

    #: A UUID in its usual form (lower case, hyphens); unique in the whole record.
    id: str
    event: Event
    meta: Meta
    recorded_at: datetime


class StreamHead(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream stands; version 0 and an empty hash for a stream that does not exist."""

    stream: str
    version: int = 0
    hash: str = ""
    ended: bool = False


class StreamAppend(msgspec.Struct, frozen=True, kw_only=True):
    """Events for one stream, behind the head that the writer has seen."""

    head: StreamHead
    events: tuple[NewEvent, ...]


class InboxMark(msgspec.Struct, frozen=True, kw_only=True):
    """Moves one inbox row: (consumer, stream) goes from `before` to `version`."""

    consumer: str
    stream: str
    #: Last version handled, 0 for none.
    before: int
    version: int


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """News of a stream, about to be handled by a consumer."""

    stream: str
    version: int
    #: Version that the consumer handles just before it for another reason; 0 for none.
    after: int = 0


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer has to handle because of an arrival."""

    #: Last version of the stream that the consumer has handled, 0 for none.
    handled: int
    #: Events between what is handled and the arrival, of the consumer's types: they were not delivered, or not yet.
    missed: tuple[Recorded, ...] = ()


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """A message that comes back when it is due. Setting the same key again replaces it."""

    service: str
    key: str
    due: datetime
    #: Name of the service's timer handler.
    kind: str
    #: Passed to the handler as it is.
    subject: str


class TimerClear(msgspec.Struct, frozen=True, kw_only=True):
    """Removes a timer: it was delivered, or is not needed any more."""

    service: str
    key: str


class LeaseClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The lease under which an append is made."""

    name: str
    epoch: int


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, since which epoch, until when."""

    name: str
    holder: str
    epoch: int
    until: datetime


class Cursor(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A place in the reading order."""

    xid: int = 0
    position: int = 0


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a leaseholder is told whenever it extends its lease: whether there is anything to look at."""

    #: Place of the last event of finished transactions.
    end: Cursor
    #: Whether an event of its service has been in the outbox for so long that its appender will not publish it.
    left_behind: bool
    #: When the first timer of its service is due; None where there is none.
    due: datetime | None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a read model: disposable, rebuilt from the record."""

    view: str
    key: str
    #: JSON.
    data: bytes
    version: int
    #: What lists are ordered by, newest (greatest) first.
    sort: str = ""


class DocumentWrite(msgspec.Struct, frozen=True, kw_only=True):
    """Replaces a document behind the version that the writer has read (0: it does not exist yet)."""

    view: str
    key: str
    before: int
    #: JSON; None removes it.
    data: bytes | None
    sort: str = ""


class CursorMark(msgspec.Struct, frozen=True, kw_only=True):
    """Moves a follower's cursor."""

    consumer: str
    before: Cursor
    after: Cursor


class HoldMark(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a stream back from a follower, whose cursor goes on without it; or goes on within it; or lets it go."""

    consumer: str
    stream: str
    #: Last version handled before, 0 for none; None where the stream was not held back.
    before: int | None
    #: Last version handled now; None where the follower has caught up with its cursor.
    version: int | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the record as a follower reads it."""

    #: Those of the follower's types, in reading order.
    events: tuple[Recorded, ...]
    #: Place of the last event looked at.
    end: Cursor
    #: Events looked at.
    size: int


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of one projection that were written from the beginning of the record on, by one version of its code."""

    projection: str
    number: int
    #: Whether it is made beside the one that is read; otherwise an append to it is refused once another one is read.
    building: bool = False


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """Which generation of a projection's documents is read."""

    name: str
    generation: int
    #: Version of the code that wrote it.
    version: int
    views: tuple[str, ...]


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Has another generation of a projection read, and its follower go on behind it with nothing held back."""

    lease: LeaseClaim
    name: str
    #: From which generation to which.
    generation: int
    to: int
    version: int
    views: tuple[str, ...]
    consumer: str
    #: Everything up to here is in the new generation, and nothing else.
    upto: Cursor


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's folded state: derived, disposable, and trusted only by the code that made it."""

    stream: str
    fingerprint: str
    #: Version and hash of the last event in it.
    version: int
    hash: str
    #: JSON.
    state: str
    #: SHA-256 over all of the above.
    digest: str


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """All that becomes true at once, or not at all."""

    #: Service whose relay publishes the events.
    service: str
    streams: tuple[StreamAppend, ...] = ()
    #: At most one of a consumer and stream.
    inbox: tuple[InboxMark, ...] = ()
    cursor: CursorMark | None = None
    #: At most one of a consumer and stream.
    holds: tuple[HoldMark, ...] = ()
    timers: tuple[Timer, ...] = ()
    clear_timers: tuple[TimerClear, ...] = ()
    lease: LeaseClaim | None = None
    #: Documents of read models written in the same transaction.
    documents: tuple[DocumentWrite, ...] = ()
    #: The generation that the documents belong to; none for the first one, whichever is read.
    generation: Generation | None = None


class BusEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """The life of the bus that the auditor has begun last; number 0 before the first."""

    epoch: int = 0
    #: `rebuilding`, `rebuilt` and `republishing` while the bus is being made anew from the record, then `sound`.
    state: str = "sound"
    #: What was found wrong with the bus before.
    reason: str = ""

    @property
    def sound(self) -> bool:
        """Whether the bus holds what it should, as far as is known."""
        return self.state == "sound"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something critical that no event tells of: it is about what carries or shows the events."""

    #: `bus_epoch` (the bus lost, re-used or invented messages) or `rebuild_failed` (a read model is that of older code).
    kind: str
    #: The epoch's number, or the projection's name.
    subject: str
    began: datetime
    reason: str
    ended: datetime | None = None


class Store(Protocol):
    """What the record does; `libs/testing/storecase.py` is the test that every implementation passes."""

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Make an append true and return what was recorded, in order.

        Raises StaleLeaseError, DuplicateDeliveryError, ConflictError (a head or document has moved on, or an event's id
        is taken), UnrecordableError (nothing was written in any of these cases), StoreUnavailableError (outcome unknown).
        """
        ...

    async def read_stream(
        self,
        stream: str,
        after: int = 0,
        *,
        types: Sequence[str] = (),
        upto: int = 0,
        carried: bool = False,
    ) -> list[Recorded]:
        """Read a stream's events with version > `after` (and ≤ `upto` if given), only of `types` if given, in order.

        Raises `msgspec.ValidationError` where data does not fit its class; `carried` takes such an event as `Unknown`.
        """
        ...

    async def read_streams(self, streams: Sequence[str], *, upto: int) -> list[Recorded]:
        """Read the events of several streams with version ≤ `upto`, stream by stream as they are named, each in order."""
        ...

    async def read_all(
        self, after: Cursor, *, limit: int = 500, categories: Sequence[str] = ()
    ) -> list[Recorded]:
        """Read events of finished transactions in (xid, position) order; none can appear before the last one later."""
        ...

    def scan(
        self, after: Cursor, *, categories: Sequence[str] = (), upto: Cursor | None = None
    ) -> AsyncIterator[Recorded]:
        """Read what `read_all` reads, of any length, and end where the record ends or with the event at `upto`.

        Memory stays flat and no transaction stays open, however slowly the events are taken. Events that are appended
        meanwhile may or may not be among them. Raises StoreUnavailableError from the iteration; the cursor of the last
        event is where to go on.
        """
        ...

    async def cursor_of(self, position: int) -> Cursor:
        """Find the place of a public position; 0 is the beginning."""
        ...

    async def end(self) -> Cursor:
        """Return the place of the last event of finished transactions: what comes after it is news."""
        ...

    async def find(self, event_id: str) -> Recorded | None:
        """Find an event by id."""
        ...

    async def verify(self, stream: str) -> StreamHead:
        """Recompute a stream's hash chain from the stored bytes and return its head. Raises ChainBrokenError."""
        ...

    async def heads(
        self,
        category: str,
        *,
        open_only: bool = False,
        limit: int = 1000,
        after: str = "",
    ) -> list[StreamHead]:
        """List streams of a category, the last created first; `after` pages on from a stream's name."""
        ...

    async def handled(self, consumer: str, stream: str) -> int:
        """Return the last version of a stream that a consumer or follower has handled."""
        ...

    async def unhandled(self, consumer: str, types: Sequence[str], *, among: int = 5_000) -> list[Recorded]:
        """Read what a consumer has not handled of the newest `among` events, only of `types` if given, in order."""
        ...

    async def due(self, consumer: str, arrivals: Sequence[Arrival], types: Sequence[str]) -> list[Due]:
        """Look up for each arrival what the consumer has handled and what it has missed, only of `types` if given."""
        ...

    async def follower(self, consumer: str, types: Sequence[str]) -> Cursor:
        """Tell up to where a follower has read.

        One that has not read yet begins before the first event of `types` that its inbox lacks: the bus may have fed it.
        """
        ...

    async def behind(self, consumer: str) -> float:
        """Return the age in seconds of the first event that a follower has not read; 0 where it has read all there is."""
        ...

    async def held_back(self, consumer: str) -> dict[str, int]:
        """List the streams that are held back from a follower, with the last version handled of each."""
        ...

    async def read_page(self, after: Cursor, types: Sequence[str], *, limit: int) -> Page | None:
        """Look at the next `limit` events of finished transactions, as `read_all`; None where there is none.

        An event whose data does not fit its class comes as `Unknown`, so that nothing behind it has to wait.
        """
        ...

    async def pending_outbox(self, service: str, *, older_than_s: float, limit: int = 500) -> list[Recorded]:
        """Read events that were committed but not confirmed as published, per stream in order.

        They are there to be passed on as they were written, so each is an `Unknown` with its stored JSON: a class would
        leave out what only a newer release knows.
        """
        ...

    async def published(self, positions: Sequence[int]) -> None:
        """Forget outbox rows whose publication the bus has confirmed."""
        ...

    async def due_timers(self, service: str, now: datetime, *, limit: int = 100) -> list[Timer]:
        """Read timers that are due."""
        ...

    async def next_timer(self, service: str) -> datetime | None:
        """Return when the service's next timer is due."""
        ...

    async def acquire(self, name: str, holder: str, ttl_s: float, *, takeover: bool = False) -> Lease | None:
        """Take a free or lapsed lease (or, with `takeover`, any lease), raising its epoch. None if somebody holds it.

        A holder that asks again while its lease is live also gets a new epoch: a restarted process is a new holder.
        """
        ...

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        """Extend a lease; False when the epoch has been taken over."""
        ...

    async def beat(
        self, lease: LeaseClaim, ttl_s: float, service: str, *, older_than_s: float
    ) -> Beat | None:
        """Extend a lease and look, in the same step, what there is to do for a service; None when the epoch is taken over.

        `older_than_s` is the age from which an event in the outbox counts as left behind.
        """
        ...

    async def release(self, name: str, epoch: int) -> None:
        """Let a lease lapse at once."""
        ...

    async def leases(self) -> list[Lease]:
        """List all leases with their state by the record's clock."""
        ...

    async def bus_epoch(self) -> BusEpoch:
        """Tell the current epoch of the bus; the auditor writes it."""
        ...

    async def conditions(self, *, within_s: float) -> list[Condition]:
        """List what has not ended, or ended within so many seconds, in the order of its beginning."""
        ...

    async def note_rebuild(self, lease: LeaseClaim, name: str, failure: str) -> None:
        """Keep that a projection cannot be built anew, and why; empty: that its documents are those of this code.

        Raises StaleLeaseError.
        """
        ...

    async def document(self, view: str, key: str, *, generation: int | None = None) -> Document | None:
        """Read one document of a read model, of the generation in use unless another one is named."""
        ...

    async def documents(
        self, view: str, *, limit: int = 100, before: str = "", generation: int | None = None
    ) -> list[Document]:
        """List a read model, greatest `sort` first, `before` a sort value to page on."""
        ...

    async def register(self, name: str, views: Sequence[str], version: int) -> Projection:
        """Make a projection known and return what is read of it.

        At first that is generation 0 of this version; of version 1 where there are documents already.
        """
        ...

    async def switch(self, switch: Switch) -> None:
        """Have another generation read.

        Raises StaleLeaseError, ConflictError (another generation is read than the one to be left, or the follower has
        read further than the new one goes).
        """
        ...

    async def generations(self, views: Sequence[str]) -> list[int]:
        """List the generations of which there are documents."""
        ...

    async def discard(self, views: Sequence[str], generation: int, *, most: int = 200) -> int:
        """Remove some documents of a generation that is not read and return how many; 0 when all are gone."""
        ...

    async def compare(
        self, view: str, generations: tuple[int, int], after: str, *, limit: int = 100
    ) -> list[tuple[str, bool]]:
        """Tell of the keys behind one whether two generations say the same of them, in the order of keys."""
        ...

    async def snapshot(self, stream: str) -> Snapshot | None:
        """Read a stream's snapshot, whoever made it."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot instead of an older one, or of one that other code has made."""
        ...

    def tail(self, after: Cursor) -> AsyncIterator[Recorded]:
        """Follow the record from a place on, in reading order, waiting for what is committed later."""
        ...

    async def ping(self) -> None:
        """Raise StoreUnavailableError unless the record answers within a second."""
        ...

    async def close(self) -> None:
        """Give back every connection."""
        ...
