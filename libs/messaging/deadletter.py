"""Dead letters: what was given up, why, and everything needed to look at it or to send it again."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime

import msgspec

from contracts.message import SUBJECT_ROOT, Recorded
from libs.messaging import cloudevents
from libs.messaging.bus import DeadLetter, Settlement

ROOT = "deadletter"

#: Characters of the payload shown as text, and bytes of it kept: a letter has to fit into one message
#: whatever came, or the message could never be terminated. A larger event is in the record under its id.
SHOWN, KEPT = 4_096, 512 * 1024


#: Header of a note behind a letter: it names the letter that is settled.
SETTLES = "autopilot-settles"


class Letter(DeadLetter, frozen=True, kw_only=True):
    """A dead letter as it is stored: with the message as it came."""

    subject: str
    headers: dict[str, str]
    #: Base64, because what could not be decoded may be anything; empty where it was larger than KEPT.
    payload: str

    def body(self) -> bytes:
        """Return the payload's bytes."""
        return base64.b64decode(self.payload)


def subject_for(consumer: str) -> str:
    """Name the subject of a consumer's dead letters."""
    return f"{ROOT}.{consumer}"


def write(
    *,
    consumer: str,
    sequence: int,
    reason: str,
    attempts: int,
    at: datetime,
    subject: str,
    headers: Mapping[str, str],
    payload: bytes,
) -> Letter:
    """Write a dead letter; its id is stable, so that one written twice around a crash is kept once.

    The event's facts are taken from the headers, as far as they can be read: this also serves the
    undecodable.
    """
    version = headers.get("ce-streamversion", "")
    return Letter(
        id=f"{consumer}-{sequence}",
        consumer=consumer,
        reason=reason,
        attempts=attempts,
        at=at,
        event_id=headers.get("ce-id", ""),
        stream=headers.get("ce-subject", ""),
        type=headers.get("ce-type", "").removeprefix(SUBJECT_ROOT + "."),
        version=int(version) if version.isdecimal() else 0,
        raw=payload[:SHOWN].decode(errors="backslashreplace"),
        subject=subject,
        headers=dict(headers),
        payload=base64.b64encode(payload).decode() if len(payload) <= KEPT else "",
    )


def about(recorded: Recorded, *, consumer: str, reason: str, attempts: int, at: datetime) -> Letter:
    """Write a dead letter about an event that was read from the record: its position stands for the sequence."""
    message = cloudevents.encode(recorded)
    return write(
        consumer=consumer,
        sequence=recorded.position,
        reason=reason,
        attempts=attempts,
        at=at,
        subject=message.subject,
        headers=message.headers,
        payload=message.payload,
    )


def encode(letter: Letter | Settlement) -> bytes:
    """Write a letter, or a note behind one, as JSON."""
    return msgspec.json.encode(letter)


def decode(data: bytes) -> Letter:
    """Read a letter. Raises `msgspec.ValidationError`."""
    return msgspec.json.decode(data, type=Letter)
