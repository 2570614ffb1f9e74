"""The bus's port: publishing what was committed, and durable consumers that hand it on.

BusError
├── BusUnavailableError   not reachable, or a publish was not confirmed in time: the outbox keeps the event
├── RefusedError          the server refused a publish or subscription: permissions or topology are wrong
└── UndecodableError      what came is not an event of ours, or its data does not fit its class
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from contracts.message import Recorded


class BusError(Exception):
    """The bus failed."""


class BusUnavailableError(BusError):
    """The bus could not be reached or did not confirm in time."""


class RefusedError(BusError):
    """The bus refused what this service is not declared to do."""

    def __init__(self, subjects: Sequence[str], reason: str, confirmed: Sequence[Recorded] = ()) -> None:
        super().__init__(f"{', '.join(subjects)}: {reason}")
        self.subjects, self.reason = tuple(subjects), reason
        #: What the same call published all the same; the outbox need not keep it.
        self.confirmed = list(confirmed)


class UndecodableError(BusError):
    """A message cannot be read as an event."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


#: Failed decisions about one message before it is a dead letter, unless its consumer says otherwise.
MAX_DELIVER = 8
#: Deliveries for any cause (crashes of the process, the record being away) before a message counts as poison.
#: Large on purpose: ten minutes without a database must not turn good work into dead letters.
MAX_ATTEMPTS = 1_000
#: Messages that a consumer may hold without having acknowledged them, unless it says otherwise.
MAX_ACK_PENDING = 512


class ConsumerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One durable pull consumer, `<service>-<handler>`."""

    durable: str
    #: Subjects it takes, from the annotation of its handler.
    filters: tuple[str, ...]
    #: Failed decisions about one message before it is a dead letter; other redeliveries do not count.
    max_deliver: int = MAX_DELIVER
    #: Seconds after which an unacknowledged message is delivered again.
    ack_wait_s: float = 5.0
    max_ack_pending: int = MAX_ACK_PENDING


class Delivery(Protocol):
    """One message in a consumer's hands."""

    @property
    def recorded(self) -> Recorded:
        """The event; decoded once."""
        ...

    @property
    def attempts(self) -> int:
        """How often it has been delivered, this time included, for whatever cause."""
        ...

    @property
    def failures(self) -> int:
        """How many decisions about it have failed in this process so far."""
        ...

    async def ack(self) -> None:
        """Tell the bus that the effect is committed."""
        ...

    async def nak(self, delay_s: float = 0.0, *, failed: bool = False) -> None:
        """Ask for it again, after a delay; `failed` counts it as a failed decision."""
        ...

    async def in_progress(self) -> None:
        """Ask for more time."""
        ...

    async def term(self) -> None:
        """Take it away for good; the dead letter has been written before."""
        ...


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was given up, with its reason."""

    id: str
    consumer: str
    reason: str
    attempts: int
    at: datetime
    #: None when the message could not be decoded; then `raw` holds what came.
    event_id: str = ""
    stream: str = ""
    type: str = ""
    version: int = 0
    raw: str = ""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A note that a letter needs nobody any more; the letter itself stays where it is."""

    letter_id: str
    #: What became of it.
    outcome: str
    #: Who asked for it, and why.
    actor: str
    reason: str
    at: datetime


class Bus(Protocol):
    """What the bus does; `libs/testing/buscase.py` is the test that every implementation passes."""

    async def publish(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Publish events in order, pipelined, and return those that the bus confirmed (a prefix per stream).

        `Nats-Msg-Id` is the event id. Raises RefusedError after everything else was sent (it names what was
        confirmed); a bus that is down confirms nothing and answers within 5 s.
        """
        ...

    async def fetch(self, consumer: str, batch: int, timeout_s: float) -> list[Delivery]:
        """Take up to `batch` messages from a durable, waiting up to `timeout_s` for the first.

        A message that is undecodable, or has been delivered more than MAX_ATTEMPTS times, is dead-lettered
        and terminated here, and never returned. Nothing comes while the bus is down or the durable is
        missing. Raises RefusedError for a durable of another service.
        """
        ...

    async def dead_letter(self, delivery: Delivery, consumer: str, reason: str, at: datetime) -> None:
        """Write the dead letter, then terminate the message, in this order; a `Reread` has none on the bus.

        Raises BusUnavailableError, RefusedError where it could not be written; nothing is terminated then.
        """
        ...

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """List dead letters, newest first. Raises BusUnavailableError, RefusedError."""
        ...

    async def settle_letter(self, consumer: str, note: Settlement) -> None:
        """Put a note behind a dead letter of a consumer: nobody has to look at it any more.

        Raises BusUnavailableError, RefusedError where it could not be written.
        """
        ...

    async def hear(self, subjects: Sequence[str], heard: Callable[[], None]) -> None:
        """Call `heard` whenever something passes under one of these subjects, as long as this connection is there.

        A hint and no more: nothing tells of what passed while the bus was away, and anybody may have said it. Raises
        BusUnavailableError; what the service may not hear makes it unhealthy.
        """
        ...

    async def lag(self, consumer: str) -> tuple[int, int]:
        """Return (pending, unacknowledged) messages of a durable; (0, 0) for a missing one.

        Raises BusUnavailableError, RefusedError.
        """
        ...

    @property
    def healthy(self) -> bool:
        """Whether the connection is up and no permission violation has been seen since it came up."""
        ...

    async def close(self) -> None:
        """Drain and disconnect."""
        ...
