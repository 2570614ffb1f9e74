"""Message by message: what lies on the bus is what the record says, and what was there is still there."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence

import msgspec

from contracts.message import Recorded, Registry
from libs.busaudit.ports import BusView, RecordView
from libs.busaudit.sight import Mark, Notes, Sight, Stored, thinned
from libs.messaging import cloudevents
from libs.messaging.bus import UndecodableError

#: Messages compared in one look: the next ones, the newest, and older ones from a random place on.
NEXT, NEWEST, OLDER = 250, 32, 8


class Comparison:
    """Reads a part of the stream in each look: every message once, the newest always, old ones now and then again."""

    def __init__(self, bus: BusView, record: RecordView, registry: Registry, chance: random.Random) -> None:
        self._bus, self._record, self._registry, self._chance = bus, record, registry, chance

    async def look(self, memory: Notes, sight: Sight) -> tuple[Notes, list[str]]:
        """Compare and return what is remembered afterwards, and what is wrong."""
        if not sight.messages:
            return msgspec.structs.replace(memory, compared=sight.last_seq, marks=()), []
        marks = tuple(mark for mark in memory.marks if mark.sequence >= sight.first_seq)
        begin = max(memory.compared + 1, sight.first_seq)
        ranges = [(begin, NEXT)] if begin <= sight.last_seq else []
        if begin + NEXT <= sight.last_seq:
            ranges.append((max(begin + NEXT, sight.last_seq - NEWEST + 1), NEWEST))
        if marks:
            ranges += [(marks[-1].sequence, 1), (self._chance.choice(marks).sequence, OLDER)]
        readings = [(first, await self._bus.read(first, count)) for first, count in ranges]
        stored = {message.sequence: message for _, messages in readings for message in messages}
        holes = [hole for first, messages in readings for hole in _holes(first, messages, sight.last_seq)]
        found = await self._gone(holes) or await self._strange([*stored.values()]) or _moved(marks, stored)
        compared = max(memory.compared, sight.first_seq - 1)
        if begin <= sight.last_seq and readings[0][1]:
            compared = readings[0][1][-1].sequence
        if stored and (newest := max(stored)) > (marks[-1].sequence if marks else 0):
            marks = thinned(marks, Mark(newest, _event_id(stored[newest])))
        return msgspec.structs.replace(memory, compared=compared, marks=marks), found

    async def _gone(self, holes: Sequence[int]) -> list[str]:
        """Say which sequences are missing; what the stream's limits removed meanwhile is not."""
        if not holes:
            return []
        sight = await self._bus.sight()
        missing = [hole for hole in holes if sight is None or hole >= sight.first_seq]
        return [f"message {missing[0]} is missing"] if missing else []

    async def _strange(self, messages: Sequence[Stored]) -> list[str]:
        """Say what the record does not hold, or holds otherwise."""
        known = await self._record.known([id_ for message in messages if _is_id(id_ := _event_id(message))])
        for message in messages:
            fault = self._fault(message, known.get(_event_id(message)))
            if fault:
                return [f"message {message.sequence} on {message.subject} {fault}"]
        return []

    def _fault(self, message: Stored, event: Recorded | None) -> str:
        if event is None:
            return "is no event of the record"
        if message.subject != cloudevents.encode(event).subject:
            return f"is event {event.id}, which belongs elsewhere"
        try:
            found = cloudevents.decode(self._registry, message.headers, message.payload)
        except UndecodableError as error:
            return f"is event {event.id} and cannot be read: {error.reason}"
        # Places are bookkeeping: a restored record has others.
        if msgspec.structs.replace(found, position=0, xid=0) != msgspec.structs.replace(
            event, position=0, xid=0
        ):
            return f"is not event {event.id} as it was recorded"
        return ""


def _holes(first: int, messages: Sequence[Stored], last: int) -> list[int]:
    """List the first sequence missing before each message, and the very first where nothing came at all."""
    if not messages:
        return [first] if first <= last else []
    expected = [first, *(message.sequence + 1 for message in messages[:-1])]
    return [due for due, message in zip(expected, messages, strict=True) if message.sequence != due]


def _moved(marks: Sequence[Mark], stored: dict[int, Stored]) -> list[str]:
    for mark in marks:
        if mark.sequence in stored and _event_id(stored[mark.sequence]) != mark.event_id:
            return [f"sequence {mark.sequence} was used again: it was event {mark.event_id}"]
    return []


def _event_id(message: Stored) -> str:
    return message.headers.get("ce-id", "")


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
