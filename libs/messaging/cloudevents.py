"""An event on the wire: CloudEvents 1.0 in binary mode, so that `nats sub 'autopilot.v1.>'` reads well.

The payload is the event's own JSON and nothing else; all bookkeeping travels in headers. `traceparent` is the
W3C header itself, because tracing tools look for that name. Attributes without a value are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from contracts.message import SUBJECT_ROOT, Meta, Recorded, Registry, Unknown, cloud_event_type, subject_of
from libs.messaging.bus import UndecodableError

#: The server's deduplication key: the event's id.
MESSAGE_ID = "Nats-Msg-Id"

#: The server puts it on a stored message that it was asked for. Whoever asks names the subject for the answer, and is not
#: asked whether it may publish there.
_FOUND = "Nats-Stream"
_SOURCE = "/autopilot/"
_TYPE = SUBJECT_ROOT + "."
#: The HTTP binding's rule, kept for NATS: printable ASCII as it is, except space, double quote and percent.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_ONLY_PLAIN = re.compile(r"[!#$&-~]*")
_json = msgspec.json.Encoder().encode

#: What every header says; a message has those that are not empty.
HEADERS = {
    MESSAGE_ID: "The event's id again, by which the server recognises a repetition.",
    "content-type": "application/json.",
    "ce-specversion": "1.0.",
    "ce-id": "The event's id.",
    "ce-type": "`autopilot.v1.` and the wire type.",
    "ce-source": "`/autopilot/` and the service that wrote it.",
    "ce-subject": "The stream.",
    "ce-time": "When it was recorded, RFC 3339 in UTC.",
    "ce-streamversion": "Its number in the stream, from 1 without a gap.",
    "ce-schemaversion": "Version of the payload's schema.",
    "ce-position": "With `ce-xid` the reading order of the record.",
    "ce-xid": "The transaction that wrote it.",
    "ce-prevhash": "Hash of the event before it in the stream.",
    "ce-hash": "Its own hash; the chain makes tampering visible.",
    "ce-causationid": "Id of the event that led to it.",
    "ce-correlationid": "The task.",
    "ce-actor": "Who asked for it, percent-encoded.",
    "ce-lease": "`name:epoch` of the lease under which it was written.",
    "ce-synthetic": "`true` for simulated work.",
    "traceparent": "W3C trace context.",
}
#: Headers without which a message cannot be read.
REQUIRED = ("ce-id", "ce-type", "ce-source", "ce-subject", "ce-time", "ce-streamversion", "ce-schemaversion")


class Message(NamedTuple):
    """What goes over the wire."""

    subject: str
    headers: dict[str, str]
    payload: bytes


def encode(recorded: Recorded) -> Message:
    """Write an event as a message."""
    event, meta = recorded.event, recorded.meta
    # The version of what is sent: an event that was brought forward must not be brought forward again.
    schema_version = recorded.schema_version if isinstance(event, Unknown) else event.schema_version
    headers = {
        MESSAGE_ID: recorded.id,
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": recorded.id,
        "ce-type": cloud_event_type(recorded.type),
        "ce-source": _SOURCE + _escape(meta.service),
        "ce-subject": recorded.stream,
        "ce-time": _rfc3339(recorded.recorded_at),
        "ce-streamversion": str(recorded.version),
        "ce-schemaversion": str(schema_version),
        "ce-position": str(recorded.position),
        "ce-xid": str(recorded.xid),
    }
    if recorded.prev_hash:
        headers["ce-prevhash"] = recorded.prev_hash
    if recorded.hash:
        headers["ce-hash"] = recorded.hash
    if meta.causation_id:
        headers["ce-causationid"] = _escape(meta.causation_id)
    if meta.correlation_id:
        headers["ce-correlationid"] = _escape(meta.correlation_id)
    if meta.actor:
        headers["ce-actor"] = _escape(meta.actor)
    if meta.traceparent:
        headers["traceparent"] = _escape(meta.traceparent)
    if meta.lease:
        headers["ce-lease"] = _escape(meta.lease)
    if meta.synthetic:
        headers["ce-synthetic"] = "true"
    payload = _json(event.data if isinstance(event, Unknown) else event)
    return Message(subject_of(recorded.stream, recorded.type), headers, payload)


def decode(
    registry: Registry, headers: Mapping[str, str], payload: bytes, *, subject: str | None = None
) -> Recorded:
    """Read a message as the event it was; an unknown type is carried. Raises UndecodableError.

    `subject` is what it came under. The server lets each user publish under certain subjects alone, and that says
    something about a message only if its headers cannot speak of another stream, and if it was published at all.
    """
    try:
        type_, schema_version = _after(_TYPE, headers["ce-type"]), int(headers["ce-schemaversion"])
        if subject is not None:
            if subject != subject_of(headers["ce-subject"], type_):
                raise ValueError(f"{headers['ce-subject']} and {type_} do not belong under {subject}")
            if _FOUND in headers:
                raise ValueError(f"an answer of the server, sent to {subject}")
        return Recorded(
            id=headers["ce-id"],
            stream=headers["ce-subject"],
            version=int(headers["ce-streamversion"]),
            type=type_,
            schema_version=schema_version,
            event=registry.decode(type_, payload, schema_version),
            meta=Meta(
                service=_unescape(_after(_SOURCE, headers["ce-source"])),
                causation_id=_unescape(headers.get("ce-causationid", "")),
                correlation_id=_unescape(headers.get("ce-correlationid", "")),
                actor=_unescape(headers.get("ce-actor", "")),
                traceparent=_unescape(headers.get("traceparent", "")),
                synthetic=headers.get("ce-synthetic") == "true",
                lease=_unescape(headers.get("ce-lease", "")),
            ),
            recorded_at=datetime.fromisoformat(headers["ce-time"]),
            prev_hash=headers.get("ce-prevhash", ""),
            hash=headers.get("ce-hash", ""),
            position=int(headers.get("ce-position", "0")),
            xid=int(headers.get("ce-xid", "0")),
        )
    except KeyError as error:
        raise UndecodableError(f"header {error.args[0]} is missing") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise UndecodableError(f"{type(error).__name__}: {error}") from error


def _rfc3339(at: datetime) -> str:
    written = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()
    return f"{written[:-6]}Z"


def _escape(value: str) -> str:
    return value if _ONLY_PLAIN.fullmatch(value) else quote(value, safe=_PLAIN)


def _unescape(value: str) -> str:
    return unquote(value) if "%" in value else value


def _after(prefix: str, value: str) -> str:
    if not value.startswith(prefix):
        raise ValueError(f"{value!r} does not begin with {prefix!r}")
    return value[len(prefix) :]
