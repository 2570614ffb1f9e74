"""Events and appends for tests of the record, free of any service's meaning."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import ClassVar

import msgspec

from contracts.message import Event, Meta, Registry
from libs.eventstore.store import Append, NewEvent, Store, StreamAppend, StreamHead


class _Case(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "case"
    key: ClassVar[str] = "case_id"
    case_id: str


class Noted(_Case, frozen=True, kw_only=True):
    """Something was written down."""

    text: str = ""
    amount: float = 0.0
    count: int = 0
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class Closed(_Case, frozen=True, kw_only=True):
    """The case is over."""

    ends: ClassVar[bool] = True


class Novel(_Case, frozen=True, kw_only=True):
    """An event that the registry of these tests does not know."""

    depth: int


class Aside(Event, frozen=True, kw_only=True):
    """Something in another category."""

    stream: ClassVar[str] = "side"
    key: ClassVar[str] = "case_id"
    case_id: str


registry = Registry((Noted, Closed, Aside))
META = Meta(service="tester", correlation_id="c-1")


def new(event: Event) -> NewEvent:
    """Make an event ready to be appended."""
    return NewEvent(id=str(uuid.uuid4()), event=event, meta=META, recorded_at=datetime.now(UTC))


def fresh() -> str:
    """Return a key that no other test uses."""
    return uuid.uuid4().hex


async def head_of(store: Store, stream: str) -> StreamHead:
    """Find where a stream stands, as a writer does: from its events."""
    events = await store.read_stream(stream)
    last = events[-1] if events else None
    return (
        StreamHead(stream=stream, version=last.version, hash=last.hash) if last else StreamHead(stream=stream)
    )


def behind(head: StreamHead, *events: Event) -> StreamAppend:
    """Put events behind a head."""
    return StreamAppend(head=head, events=tuple(new(event) for event in events))


def first(*events: Event) -> StreamAppend:
    """Begin a stream with events."""
    return behind(StreamHead(stream=f"{events[0].stream}-{getattr(events[0], events[0].key)}"), *events)


def plain(*streams: StreamAppend) -> Append:
    """Append events and nothing else."""
    return Append(service="tester", streams=streams)
