"""The record's port: append, read, inbox, outbox, timers and leases, as every implementation keeps them.

EventStoreError
├── ConflictError            an expected version was not the stream's (or document's) version
├── StaleLeaseError          the epoch named in the append is not the lease's epoch
├── DuplicateDeliveryError   the inbox has moved past the message
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
    """The inbox row of this consumer and stream has been moved by another delivery."""

    def __init__(self, consumer: str, stream: str) -> None:
        super().__init__(f"{consumer} has already handled {stream} beyond this message")
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


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """All that becomes true at once, or not at all."""

    #: Service whose relay publishes the events.
    service: str
    streams: tuple[StreamAppend, ...] = ()
    #: At most one of a consumer and stream.
    inbox: tuple[InboxMark, ...] = ()
    timers: tuple[Timer, ...] = ()
    clear_timers: tuple[TimerClear, ...] = ()
    lease: LeaseClaim | None = None
    #: Documents of read models written in the same transaction.
    documents: tuple[DocumentWrite, ...] = ()


class Cursor(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A place in the reading order."""

    xid: int = 0
    position: int = 0


class Store(Protocol):
    """What the record does; `libs/testing/storecase.py` is the test that every implementation passes."""

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Make an append true and return what was recorded, in order.

        Raises StaleLeaseError, DuplicateDeliveryError, ConflictError (a head or document has moved on, or an event's id
        is taken), UnrecordableError (nothing was written in any of these cases), StoreUnavailableError (outcome unknown).
        """
        ...

    async def read_stream(
        self, stream: str, after: int = 0, *, types: Sequence[str] = (), upto: int = 0
    ) -> list[Recorded]:
        """Read a stream's events with version > `after` (and ≤ `upto` if given), only of `types` if given, in order."""
        ...

    async def read_all(
        self, after: Cursor, *, limit: int = 500, categories: Sequence[str] = ()
    ) -> list[Recorded]:
        """Read events of finished transactions in (xid, position) order; none can appear before the last one later."""
        ...

    async def cursor_of(self, position: int) -> Cursor:
        """Find the place of a public position; 0 is the beginning."""
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
        """Return the last version of a stream that a consumer has handled."""
        ...

    async def due(self, consumer: str, arrivals: Sequence[Arrival], types: Sequence[str]) -> list[Due]:
        """Look up for each arrival what the consumer has handled and what it has missed, only of `types` if given."""
        ...

    async def pending_outbox(self, service: str, *, older_than_s: float, limit: int = 500) -> list[Recorded]:
        """Read events that were committed but not confirmed as published, per stream in order."""
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

    async def release(self, name: str, epoch: int) -> None:
        """Let a lease lapse at once."""
        ...

    async def leases(self) -> list[Lease]:
        """List all leases with their state by the record's clock."""
        ...

    async def document(self, view: str, key: str) -> Document | None:
        """Read one document of a read model."""
        ...

    async def documents(self, view: str, *, limit: int = 100, before: str = "") -> list[Document]:
        """List a read model, greatest `sort` first, `before` a sort value to page on."""
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
