"""What the auditor sees of the bus, and what it makes of two looks: pure, time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

#: Marks that are kept of a stream, from its beginning to its end.
MARKS = 24
#: Seconds by which the clocks of bus and auditor may differ where the age of a message counts.
CLOCK_S = 60.0
#: Bytes below its limit from which a stream may have made room for a message (the largest one has 8 MiB).
ROOM = 16 * 2**20


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What the bus says about its stream of events at one moment."""

    #: Changes with every start of the server.
    server: str
    created: datetime
    messages: int
    bytes: int
    first_seq: int
    #: When the first message was stored; meaningless where there is none.
    first_at: datetime
    last_seq: int
    #: Messages missing between first and last.
    deleted: int
    max_age_s: float
    max_bytes: int


class Stored(NamedTuple):
    """One message as it lies on the bus."""

    sequence: int
    subject: str
    headers: dict[str, str]
    payload: bytes


class Mark(msgspec.Struct, frozen=True):
    """An event whose sequence is known."""

    sequence: int
    event_id: str


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What the auditor remembers between two looks, and over its own death."""

    #: The epoch that this belongs to.
    epoch: int
    sight: Sight
    #: Everything up to this sequence has been compared with the record since the server's start.
    compared: int
    marks: tuple[Mark, ...] = ()
    #: Place in the record up to which every consumer has handled everything.
    settled: tuple[int, int] = (0, 0)


def differences(before: Sight, now: Sight, at: datetime) -> list[str]:
    """Say what cannot have happened to a sound stream between two looks."""
    if now.created != before.created:
        return [f"the stream was made anew at {now.created:%H:%M:%S}, and not by the auditor"]
    found: list[str] = []
    if now.last_seq < before.last_seq:
        found.append(f"its last sequence went back from {before.last_seq} to {now.last_seq}")
    if now.deleted:
        # Nobody of ours ever deletes an event.
        found.append(f"{now.deleted} messages went missing from its middle")
    if now.messages != now.last_seq - now.first_seq + 1 - now.deleted:
        found.append(f"it counts {now.messages} messages from {now.first_seq} to {now.last_seq}")
    if now.first_seq > before.first_seq and not _may_go(before, now, at):
        found.append(f"messages {before.first_seq} to {now.first_seq - 1} were removed before their time")
    return found


def _may_go(before: Sight, now: Sight, at: datetime) -> bool:
    """Tell whether the stream's own limits explain that its first message is gone."""
    age_s = (at - before.first_at).total_seconds() if before.messages else 0.0
    return age_s + CLOCK_S >= now.max_age_s or before.bytes + ROOM >= now.max_bytes


def thinned(marks: Sequence[Mark], newest: Mark) -> tuple[Mark, ...]:
    """Add a mark; of too many the one goes whose neighbours are closest, so that they stay spread over the stream."""
    kept = [*(mark for mark in marks if mark.sequence < newest.sequence), newest]
    while len(kept) > MARKS:
        del kept[min(range(1, MARKS), key=lambda at: kept[at + 1].sequence - kept[at - 1].sequence)]
    return tuple(kept)
