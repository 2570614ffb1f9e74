"""What nats-server is to `JetStreamBus`, in memory: log, durables, dead letters and permissions.

Nothing here awaits, so every step is atomic; time is the injected clock's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol

import msgspec

from contracts.message import Recorded
from libs.messaging.bus import ConsumerSpec, Settlement
from libs.messaging.cloudevents import MESSAGE_ID, Message
from libs.messaging.deadletter import Letter
from libs.messaging.subject import covers, matches
from libs.messaging.topology import STREAMS, Topology, User

#: A window as wide as the real stream's.
_DUPLICATE_WINDOW = timedelta(seconds=STREAMS[0].duplicate_window_s)


class Clock(Protocol):
    """Tells the time by which messages become due again."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


class Taken(NamedTuple):
    """A message that is handed out."""

    sequence: int
    attempts: int
    message: Message


class _Pending(msgspec.Struct):
    """A message that was handed out and not acknowledged."""

    due: datetime
    attempts: int


class _Durable(msgspec.Struct):
    spec: ConsumerSpec
    #: Set, and replaced, whenever a waiting fetch should look again.
    changed: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    #: Sequence of the last message that was looked at.
    seen: int = 0
    pending: dict[int, _Pending] = msgspec.field(default_factory=dict)


class MemoryServer:
    """One bus for all services of a process."""

    def __init__(self, topology: Topology, clock: Clock) -> None:
        self.clock = clock
        #: False while the server is "down"; call `wake` after a change.
        self.available = True
        #: Called with each stored event; True withholds its confirmation, as a lost acknowledgement does.
        self.lose_confirmation: Callable[[Recorded], bool] = lambda event: False
        #: Dead letters by id, oldest first.
        self.letters: dict[str, Letter] = {}
        #: What settled a dead letter, by the letter's id.
        self.settled: dict[str, Settlement] = {}
        #: Set, and replaced, whenever a fetch from a durable that is missing should look again.
        self._changed = asyncio.Event()
        #: Raised by whoever plays a start of the server.
        self.starts = 1
        #: When the stream of events was made; every one differs.
        self.created = clock.now()
        self._users: dict[str, User] = {}
        #: Who hears what passes: patterns, and what is called.
        self._hearers: list[tuple[tuple[str, ...], Callable[[], None]]] = []
        #: Messages by sequence, in order.
        self._log: dict[int, Message] = {}
        self.last_sequence = 0
        self._ids: dict[str, datetime] = {}
        self._durables: dict[str, _Durable] = {}
        self.ensure(topology)

    def ensure(self, topology: Topology) -> None:
        """Create users and durables that are missing; a durable made anew delivers from the beginning."""
        self._users = {user.name: user for user in topology.users}
        for spec in topology.consumers:
            self._durables.setdefault(spec.durable, _Durable(spec=spec)).spec = spec
        self.wake()

    def wake(self) -> None:
        """Let every waiting fetch look again: the clock was moved by hand, or the server came back."""
        for durable in self._durables.values():
            _wake(durable)
        self._changed.set()
        self._changed = asyncio.Event()

    def changed(self, consumer: str) -> asyncio.Event:
        """Return what is set when there may be something new for a durable."""
        durable = self._durables.get(consumer)
        return self._changed if durable is None else durable.changed

    def wipe(self) -> None:
        """Lose everything, as with a deleted store directory; `ensure` brings back what is declared."""
        self.letters.clear()
        self.settled.clear()
        self.starts += 1
        self._begin(1)

    def rebuild(self, topology: Topology, first_sequence: int) -> None:
        """Remove the stream of events with its durables and make it anew, as the admin does."""
        self._begin(first_sequence)
        self.ensure(topology)

    def delete(self, sequence: int) -> None:
        """Delete one message, as only an admin may."""
        del self._log[sequence]

    def truncate(self, last_sequence: int) -> None:
        """Lose every message behind a sequence and hand their sequences out again, as a damaged store does."""
        self._log = {at: message for at, message in self._log.items() if at <= last_sequence}
        self.last_sequence = last_sequence
        for durable in self._durables.values():
            durable.seen = min(durable.seen, last_sequence)
            durable.pending = {at: each for at, each in durable.pending.items() if at <= last_sequence}
        self.starts += 1
        self.wake()

    def _begin(self, first_sequence: int) -> None:
        self._log.clear()
        self._ids.clear()
        self.wake()
        self._durables.clear()
        self.last_sequence = first_sequence - 1
        self.created = max(self.clock.now(), self.created + timedelta(microseconds=1))
        self.wake()

    def inject(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:
        """Store a message as it is, whatever it is."""
        self.store(Message(subject, dict(headers), payload))

    @property
    def messages(self) -> Sequence[Message]:
        """Show what is stored, in order."""
        return tuple(self._log.values())

    @property
    def first_sequence(self) -> int:
        """Return the sequence of the first message, or of the next one where there is none."""
        return next(iter(self._log), self.last_sequence + 1)

    def numbered(self) -> Sequence[tuple[int, Message]]:
        """Show what is stored with its sequences, in order."""
        return tuple(self._log.items())

    @property
    def durables(self) -> frozenset[str]:
        """Name the durables that exist."""
        return frozenset(self._durables)

    def open_letters(self) -> list[Letter]:
        """List the dead letters that nothing has settled, newest first."""
        return [letter for letter in reversed(self.letters.values()) if letter.id not in self.settled]

    def allows(self, user: str, subject: str) -> bool:
        """Tell whether a user may publish a subject."""
        known = self._users.get(user)
        return known is not None and any(covers(pattern, subject) for pattern in known.publish)

    def may_hear(self, user: str, subject: str) -> bool:
        """Tell whether a user may subscribe a subject."""
        known = self._users.get(user)
        return known is not None and any(covers(pattern, subject) for pattern in known.subscribe)

    def hear(self, subjects: tuple[str, ...], heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` with every message of these subjects until the result is called; it must be quick."""
        entry = (subjects, heard)
        self._hearers.append(entry)
        return lambda: self._hearers.remove(entry)

    def store(self, message: Message) -> None:
        """Store a message unless its id came within the duplicate window."""
        for subjects, heard in self._hearers:
            if _matches(subjects, message.subject):
                heard()
        now = self.clock.now()
        id_ = message.headers.get(MESSAGE_ID, "")
        before = self._ids.get(id_)
        if before is not None and now - before < _DUPLICATE_WINDOW:
            return
        self.last_sequence += 1
        self._log[self.last_sequence] = message
        if id_:
            self._ids[id_] = now
        for durable in self._durables.values():
            if self._takes(durable, message):
                _wake(durable)

    def message(self, sequence: int) -> Message:
        """Return a stored message."""
        return self._log[sequence]

    def take(self, consumer: str, batch: int) -> list[Taken]:
        """Hand out up to `batch` messages of a durable: first what is due again, then what is new."""
        durable = self._durables.get(consumer)
        if durable is None or not self.available:
            return []
        now = self.clock.now()
        durable.pending = {at: each for at, each in durable.pending.items() if at in self._log}
        sequences = [
            sequence for sequence in sorted(durable.pending) if durable.pending[sequence].due <= now
        ][:batch]
        while len(sequences) < batch and len(durable.pending) < durable.spec.max_ack_pending:
            following = max(durable.seen + 1, self.first_sequence)
            if following > self.last_sequence:
                break
            durable.seen = following
            message = self._log.get(durable.seen)
            if message is not None and self._takes(durable, message):
                durable.pending[durable.seen] = _Pending(due=now, attempts=0)
                sequences.append(durable.seen)
        for sequence in sequences:
            pending = durable.pending[sequence]
            pending.due = now + timedelta(seconds=durable.spec.ack_wait_s)
            pending.attempts += 1
        return [Taken(each, durable.pending[each].attempts, self.message(each)) for each in sequences]

    def settle(self, consumer: str, sequence: int) -> None:
        """Take a message off a durable, whoever holds it: late acknowledgements count, as in JetStream."""
        durable = self._durables.get(consumer)
        if durable is not None and self.available:
            durable.pending.pop(sequence, None)
            _wake(durable)

    def postpone(self, consumer: str, sequence: int, delay_s: float | None) -> None:
        """Make a message due after a delay; None starts its ack wait anew."""
        durable = self._durables.get(consumer)
        if durable is None or not self.available or sequence not in durable.pending:
            return
        delay = durable.spec.ack_wait_s if delay_s is None else delay_s
        durable.pending[sequence].due = self.clock.now() + timedelta(seconds=delay)
        _wake(durable)

    def lag(self, consumer: str) -> tuple[int, int]:
        """Return (pending, unacknowledged) messages of a durable; nothing for one that is missing."""
        durable = self._durables.get(consumer)
        if durable is None:
            return (0, 0)
        ahead = sum(self._takes(durable, message) for at, message in self._log.items() if at > durable.seen)
        return (ahead, len(durable.pending))

    def due_in(self, consumer: str) -> float | None:
        """Return the seconds until a message of a durable is due again, None if none is out."""
        durable = self._durables.get(consumer)
        if durable is None or not durable.pending:
            return None
        return (min(each.due for each in durable.pending.values()) - self.clock.now()).total_seconds()

    def _takes(self, durable: _Durable, message: Message) -> bool:
        return _matches(durable.spec.filters, message.subject)


@lru_cache(maxsize=16_384)
def _matches(filters: tuple[str, ...], subject: str) -> bool:
    """Tell whether a subject is taken; asked for each message whenever a durable is looked at."""
    return any(matches(pattern, subject) for pattern in filters)


def _wake(durable: _Durable) -> None:
    durable.changed.set()
    durable.changed = asyncio.Event()
