"""The bus's in-memory twin: what one service holds of a `MemoryServer`.

Events take the way over the wire format and the permissions, as with NATS, so that a test in one process
finds what would fail in seven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from contracts.message import Recorded, Registry
from libs.messaging import cloudevents, deadletter
from libs.messaging.bus import (
    MAX_ATTEMPTS,
    BusUnavailableError,
    DeadLetter,
    Delivery,
    RefusedError,
    Settlement,
    UndecodableError,
)
from libs.messaging.memoryserver import MemoryServer, Taken
from libs.messaging.topology import DEADLETTER, EVENTS

__all__ = ["MemoryBus", "MemoryDelivery", "MemoryServer"]


class MemoryBus:
    """One service's connection; it counts failed decisions by (durable, sequence), as a process does."""

    def __init__(self, server: MemoryServer, registry: Registry, service: str) -> None:
        self.server, self.failures = server, dict[tuple[str, int], int]()
        self._registry, self._service = registry, service
        self._refused = self._closed = False
        self._end_hearing: list[Callable[[], None]] = []

    async def publish(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Publish events in order and return those that were confirmed, a prefix per stream."""
        await asyncio.sleep(0)
        if not self._up:
            return []
        confirmed: list[Recorded] = []
        failed: set[str] = set()
        refused: list[str] = []
        for event in events:
            message = cloudevents.encode(event)
            if not self.server.allows(self._service, message.subject):
                refused.append(message.subject)
                failed.add(event.stream)
                continue
            self.server.store(message)
            if self.server.lose_confirmation(event):
                failed.add(event.stream)
            if event.stream not in failed:
                confirmed.append(event)
        if refused:
            self._refused = True
            raise RefusedError(refused, f"{self._service} may not publish this", confirmed)
        return confirmed

    async def fetch(self, consumer: str, batch: int, timeout_s: float) -> list[Delivery]:
        """Take up to `batch` messages from a durable, waiting up to `timeout_s` for the first."""
        self._require(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{consumer}")
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            changed = self.server.changed(consumer)
            deliveries = self._decoded(consumer, self.server.take(consumer, batch) if self._up else [])
            remaining = until - loop.time()
            if deliveries or remaining <= 0 or self._closed:
                return deliveries
            due_in = self.server.due_in(consumer)
            # By a clock that stands still a message never becomes due: look again at times, do not spin.
            wait = remaining if due_in is None else min(remaining, max(due_in, 0.01))
            try:
                async with asyncio.timeout(wait):
                    await changed.wait()
            except TimeoutError:
                continue

    async def dead_letter(self, delivery: Delivery, consumer: str, reason: str, at: datetime) -> None:
        """Write the dead letter, then terminate the message, in this order."""
        if isinstance(delivery, MemoryDelivery):
            self._bury(consumer, delivery.taken, reason, at)
        else:
            recorded, attempts = delivery.recorded, delivery.attempts
            self._keep(deadletter.about(recorded, consumer=consumer, reason=reason, attempts=attempts, at=at))
        await delivery.term()

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """List dead letters, newest first."""
        self._require(f"$JS.API.DIRECT.GET.{DEADLETTER}")
        return [*self.server.open_letters()[:limit]]

    async def settle_letter(self, consumer: str, note: Settlement) -> None:
        """Put a note behind a dead letter of a consumer."""
        if not self._up:
            raise BusUnavailableError("not connected")
        self._require(deadletter.subject_for(consumer))
        self.server.settled[note.letter_id] = note

    async def hear(self, subjects: Sequence[str], heard: Callable[[], None]) -> None:
        """Call `heard` whenever something passes under one of these subjects."""
        allowed = [subject for subject in subjects if self.server.may_hear(self._service, subject)]
        self._refused |= allowed != [*subjects]
        self._end_hearing.append(self.server.hear(tuple(allowed), heard))

    async def lag(self, consumer: str) -> tuple[int, int]:
        """Return (pending, unacknowledged) messages of a durable; nothing for one that is missing."""
        if not self._up:
            raise BusUnavailableError("not connected")
        self._require(f"$JS.API.CONSUMER.INFO.{EVENTS}.{consumer}")
        return self.server.lag(consumer)

    @property
    def healthy(self) -> bool:
        """Whether the server is up and has refused nothing."""
        return self._up and not self._refused

    async def close(self) -> None:
        """Disconnect; the server and what it holds stay. Twice is once."""
        self._closed = True
        for end in self._end_hearing:
            end()
        self._end_hearing.clear()
        self.server.wake()

    @property
    def _up(self) -> bool:
        return self.server.available and not self._closed

    def _require(self, subject: str) -> None:
        if not self.server.allows(self._service, subject):
            self._refused = True
            raise RefusedError([subject], f"{self._service} may not publish this")

    def _decoded(self, consumer: str, taken: Sequence[Taken]) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for each in taken:
            try:
                if each.attempts > MAX_ATTEMPTS:
                    raise UndecodableError(f"delivered {each.attempts} times")
                recorded = cloudevents.decode(
                    self._registry,
                    each.message.headers,
                    each.message.payload,
                    subject=each.message.subject,
                )
            except UndecodableError as error:
                self._bury(consumer, each, error.reason, self.server.clock.now())
                self.server.settle(consumer, each.sequence)
            else:
                deliveries.append(MemoryDelivery(self, consumer, each, recorded))
        return deliveries

    def _bury(self, consumer: str, taken: Taken, reason: str, at: datetime) -> None:
        letter = deadletter.write(
            consumer=consumer,
            sequence=taken.sequence,
            reason=reason,
            attempts=taken.attempts,
            at=at,
            subject=taken.message.subject,
            headers=taken.message.headers,
            payload=taken.message.payload,
        )
        self._keep(letter)

    def _keep(self, letter: deadletter.Letter) -> None:
        self._require(deadletter.subject_for(letter.consumer))
        if not self._up:
            raise BusUnavailableError("not connected")
        self.server.letters.setdefault(letter.id, letter)


class MemoryDelivery:
    """One message in a consumer's hands."""

    def __init__(self, bus: MemoryBus, consumer: str, taken: Taken, recorded: Recorded) -> None:
        self.taken = taken
        self._bus, self._consumer, self._recorded = bus, consumer, recorded

    @property
    def recorded(self) -> Recorded:
        """The event; decoded once."""
        return self._recorded

    @property
    def attempts(self) -> int:
        """How often it has been delivered, this time included, for whatever cause."""
        return self.taken.attempts

    @property
    def failures(self) -> int:
        """How many decisions about it have failed in this process so far."""
        return self._bus.failures.get((self._consumer, self.taken.sequence), 0)

    async def ack(self) -> None:
        """Tell the bus that the effect is committed."""
        await self.term()

    async def nak(self, delay_s: float = 0.0, *, failed: bool = False) -> None:
        """Ask for it again, after a delay; `failed` counts it as a failed decision."""
        if failed:
            self._bus.failures[(self._consumer, self.taken.sequence)] = self.failures + 1
        self._bus.server.postpone(self._consumer, self.taken.sequence, delay_s)

    async def in_progress(self) -> None:
        """Ask for more time."""
        self._bus.server.postpone(self._consumer, self.taken.sequence, None)

    async def term(self) -> None:
        """Take it away for good; the dead letter has been written before."""
        self._bus.failures.pop((self._consumer, self.taken.sequence), None)
        self._bus.server.settle(self._consumer, self.taken.sequence)
