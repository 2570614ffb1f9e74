"""What the auditor asks of the bus and of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from contracts.message import Recorded
from libs.busaudit.sight import Notes, Sight, Stored
from libs.eventstore.store import BusEpoch, LeaseClaim

LEASE = "bus-auditor"
#: Seconds that the lease is valid; each look extends it.
LEASE_S = 5.0


#: Seconds since whose end the lease of a relay says that it still tries: longer than its longest pause.
TRIES_S = 15.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What one durable takes."""

    durable: str
    #: Wire types; None for every event.
    types: tuple[str, ...] | None


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a consumer has not handled."""

    durable: str
    event_id: str
    stream: str
    version: int
    #: Whether the outbox still has it: then it is no matter of the bus yet.
    waiting: bool
    #: Seconds since it was recorded, by the record's clock.
    age_s: float


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Events of the record behind a place, and those of them that are open."""

    #: How many were looked at.
    size: int
    #: Place of the last one; the given place where there was none.
    end: tuple[int, int]
    #: Place of the last one before the first open one.
    settled: tuple[int, int]
    open: tuple[Open, ...]


class BusView(Protocol):
    """The bus from the side. Every method raises BusUnavailableError, RefusedError."""

    async def sight(self) -> Sight | None:
        """Look at the stream of events; None where there is none."""
        ...

    async def read(self, sequence: int, count: int) -> list[Stored]:
        """Read up to `count` messages from a sequence on, in order; what is missing is left out."""
        ...

    async def idle(self, durable: str) -> bool:
        """Tell whether a durable has handed out everything and has all of it back; a missing one has not."""
        ...

    async def given_up(self) -> Mapping[tuple[str, str], int]:
        """Tell which (durable, stream) are held back by a dead letter, and from which version on."""
        ...

    async def rebuild(self, first_sequence: int) -> None:
        """Remove the stream with its durables and make it anew, empty, beginning at a sequence."""
        ...


class RecordView(Protocol):
    """The record, for the holder of the auditor's lease.

    Every method raises StoreUnavailableError; those that write raise StaleLeaseError when the lease was taken over.
    """

    async def lead(self) -> LeaseClaim | None:
        """Take or extend the auditor's lease; None while somebody else has it."""
        ...

    async def epoch(self) -> BusEpoch:
        """Tell the current epoch; number 0 before the first one."""
        ...

    async def remembered(self) -> Notes | None:
        """Return what was kept last."""
        ...

    async def keep(self, claim: LeaseClaim, memory: Notes) -> None:
        """Keep what was seen."""
        ...

    async def begin(self, claim: LeaseClaim, epoch: int, state: str, reason: str) -> None:
        """Begin an epoch; one that has begun already stays as it is."""
        ...

    async def enter(self, claim: LeaseClaim, epoch: int, state: str) -> None:
        """Put an epoch into its next state."""
        ...

    async def known(self, event_ids: Sequence[str]) -> dict[str, Recorded]:
        """Find events by id."""
        ...

    async def stretch(
        self, wanted: Sequence[Wanted], after: tuple[int, int], limit: int, *, among: Sequence[str] = ()
    ) -> Stretch:
        """Read a stretch of finished transactions behind a place; only events `among` these ids where given."""
        ...

    async def waits_s(self) -> float:
        """Return the seconds since the oldest event got into the outbox of a service that tries to publish; 0 for none."""
        ...

    async def requeue(self, claim: LeaseClaim, wanted: Sequence[Wanted], after: tuple[int, int]) -> int:
        """Put every open event behind a place back into its service's outbox; return how many were."""
        ...

    async def republished(self, epoch: int) -> bool:
        """Tell whether everything that was requeued has left the outbox."""
        ...
