"""What every event is, and everything that derives from its class: wire type, stream, subject, decoder.

A class names its stream category and the field that holds the stream's key; nothing else is ever written
by hand. `Recorded` is an event as the record holds it: the fact plus the bookkeeping around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import msgspec

SUBJECT_ROOT = "autopilot.v1"
#: ADR-6 of the NATS project, `restricted-term`: what a subject token may consist of.
TOKEN = re.compile(r"^[A-Za-z0-9_-]{1,120}\Z")


#: Turns the JSON of one schema version into that of the next; pure.
Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def snake_case(name: str) -> str:
    """Turn a class name into its wire type: `StageCompleted` becomes `stage_completed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=snake_case, tag_field="type"):
    """A fact. Class and field names are the storage format: rename nothing, add fields with defaults."""

    #: Category of the stream, for example `task`; one service writes it.
    stream: ClassVar[str]
    #: Name of the field whose value is the stream's key.
    key: ClassVar[str] = "task_id"
    #: Raised when the meaning of a field changes; a field that is new and has a default needs no new version.
    schema_version: ClassVar[int] = 1
    #: From each earlier version to the one after it. What is stored, and its hash, stay as they were written.
    upcasts: ClassVar[Mapping[int, Upcast]] = MappingProxyType({})
    #: Whether the stream ends with this event.
    ends: ClassVar[bool] = False


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose type, or schema version, this release does not know: it is carried, never dropped."""

    type: str
    data: dict[str, Any]


class Meta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an event came from: for people, for tracing, and for keeping simulated work apart."""

    #: Public name of the service that wrote it.
    service: str
    #: Id of the event that led to this one; empty for the first of its kind.
    causation_id: str = ""
    #: Groups all events of one task: its id.
    correlation_id: str = ""
    #: The person or program that asked for it; empty for the system itself.
    actor: str = ""
    #: W3C trace context.
    traceparent: str = ""
    #: Simulated work is marked from its first event on.
    synthetic: bool = False
    #: Lease (`name:epoch`) under which it was written; empty where no lease is needed.
    lease: str = ""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the record holds it."""

    id: str
    stream: str
    version: int
    type: str
    schema_version: int
    event: Event | Unknown
    meta: Meta
    #: UTC, supplied by the writer.
    recorded_at: datetime
    prev_hash: str
    hash: str
    #: (xid, position) is the reading order; both are 0 before the record has assigned them.
    position: int = 0
    xid: int = 0


@cache
def wire_type(event: type[Event]) -> str:
    """Name an event class on the wire."""
    return snake_case(event.__name__)


def stream_name(category: str, key: str) -> str:
    """Name one aggregate's stream: `<category>-<key>`."""
    if not TOKEN.match(key):
        raise ValueError(f"{key!r} cannot be a stream key: it must match {TOKEN.pattern}")
    return f"{category}-{key}"


def stream_of(event: Event) -> str:
    """Name the stream an event belongs to."""
    return stream_name(event.stream, getattr(event, event.key))


def category_of(stream: str) -> str:
    """Take the category out of a stream's name."""
    return stream.partition("-")[0]


def key_of(stream: str) -> str:
    """Take the key out of a stream's name."""
    return stream.partition("-")[2]


def subject_of(stream: str, type_: str) -> str:
    """Build the subject of an event: `autopilot.v1.<aggregate>.<id>.<event>`."""
    return f"{SUBJECT_ROOT}.{category_of(stream)}.{key_of(stream)}.{type_}"


def subject_filter(event: type[Event]) -> str:
    """Build the subject that matches every event of one class."""
    return f"{SUBJECT_ROOT}.{event.stream}.*.{wire_type(event)}"


def cloud_event_type(type_: str) -> str:
    """Name an event for CloudEvents' `ce-type`."""
    return f"{SUBJECT_ROOT}.{type_}"


class Registry:
    """Decodes events by wire type and schema version; built once from the catalogue's classes."""

    def __init__(self, classes: tuple[type[Event], ...]) -> None:
        self.classes: dict[str, type[Event]] = {wire_type(cls): cls for cls in classes}
        if len(self.classes) != len(classes):
            raise ValueError("two event classes share a wire type")
        for cls in classes:
            if set(cls.upcasts) != set(range(1, cls.schema_version)):
                raise ValueError(
                    f"{cls.__name__} needs an upcast from each version before {cls.schema_version}"
                )
        self._decode = {type_: msgspec.json.Decoder(cls).decode for type_, cls in self.classes.items()}

    def decode(self, type_: str, data: bytes | str, schema_version: int) -> Event | Unknown:
        """Decode an event's JSON as the class reads today.

        A type or schema version of a newer release is carried as it is: to read it as what it was before would be a
        guess. Raises `msgspec.ValidationError` where known data does not fit its class or cannot be brought forward.
        """
        cls = self.classes.get(type_)
        if cls is None or schema_version > cls.schema_version:
            return Unknown(type=type_, data=msgspec.json.decode(data, type=dict[str, Any]))
        if schema_version < cls.schema_version:
            data = _brought_forward(cls, data, schema_version)
        return self._decode[type_](data)


#: Knows no class: whoever only passes events on takes them as they are, with fields that only a newer release knows.
CARRIER = Registry(())


def _brought_forward(cls: type[Event], data: bytes | str, schema_version: int) -> bytes:
    value = msgspec.json.decode(data, type=dict[str, Any])
    try:
        for version in range(schema_version, cls.schema_version):
            value = cls.upcasts[version](value)
    except Exception as error:
        raise msgspec.ValidationError(
            f"{cls.__name__} of schema version {schema_version} cannot be brought forward:"
            f" {type(error).__name__}: {error}"
        ) from error
    return msgspec.json.encode(value)
