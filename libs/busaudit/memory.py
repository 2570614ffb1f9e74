"""Bus and record as the auditor sees them, over the in-memory twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from contracts.message import Recorded
from libs.busaudit.ports import LEASE, LEASE_S, TRIES_S, Open, Stretch, Wanted
from libs.busaudit.sight import Notes, Sight, Stored
from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import BusEpoch, LeaseClaim, StaleLeaseError
from libs.messaging.bus import BusUnavailableError
from libs.messaging.memoryserver import MemoryServer
from libs.messaging.topology import STREAMS, Topology


class MemoryView:
    """`BusView` of a `MemoryServer`."""

    def __init__(self, server: MemoryServer, topology: Topology) -> None:
        self._server, self._topology = server, topology

    async def sight(self) -> Sight | None:
        """Look at the stream of events."""
        self._require()
        server = self._server
        return Sight(
            server=str(server.starts),
            created=server.created,
            messages=len(server.messages),
            bytes=0,
            first_seq=server.first_sequence,
            first_at=server.created,
            last_seq=server.last_sequence,
            deleted=server.last_sequence - server.first_sequence + 1 - len(server.messages),
            max_age_s=STREAMS[0].max_age_s,
            max_bytes=STREAMS[0].max_bytes,
        )

    async def read(self, sequence: int, count: int) -> list[Stored]:
        """Read messages."""
        self._require()
        found = [
            Stored(place, message.subject, message.headers, message.payload)
            for place, message in self._server.numbered()
            if place >= sequence
        ]
        return found[:count]

    async def idle(self, durable: str) -> bool:
        """Tell whether a durable has nothing pending and nothing out."""
        self._require()
        return durable in self._server.durables and self._server.lag(durable) == (0, 0)

    async def given_up(self) -> Mapping[tuple[str, str], int]:
        """Tell what dead letters hold back."""
        held: dict[tuple[str, str], int] = {}
        for letter in self._server.open_letters():
            key = (letter.consumer, letter.stream)
            held[key] = min(letter.version, held.get(key, letter.version))
        return held

    async def rebuild(self, first_sequence: int) -> None:
        """Make the stream anew."""
        self._require()
        self._server.rebuild(self._topology, first_sequence)

    def _require(self) -> None:
        if not self._server.available:
            raise BusUnavailableError("not connected")


class MemoryRecord:
    """`RecordView` of a `MemoryStore`."""

    def __init__(self, store: MemoryStore, holder: str = "auditor") -> None:
        self._store, self._holder = store, holder
        self._claim: LeaseClaim | None = None
        self._requeued: set[int] = set()

    async def lead(self) -> LeaseClaim | None:
        """Take or extend the lease."""
        if self._claim and await self._store.renew(LEASE, self._claim.epoch, LEASE_S):
            return self._claim
        lease = await self._store.acquire(LEASE, self._holder, LEASE_S)
        self._claim = LeaseClaim(name=LEASE, epoch=lease.epoch) if lease else None
        return self._claim

    async def epoch(self) -> BusEpoch:
        """Tell the current epoch."""
        return self._store.epoch

    async def remembered(self) -> Notes | None:
        """Return what was kept last."""
        kept = self._store.audit
        return msgspec.json.decode(kept, type=Notes) if kept else None

    async def keep(self, claim: LeaseClaim, memory: Notes) -> None:
        """Keep what was seen."""
        await self._fence(claim)
        self._store.audit = msgspec.json.encode(memory)

    async def begin(self, claim: LeaseClaim, epoch: int, state: str, reason: str) -> None:
        """Begin an epoch."""
        await self._fence(claim)
        if self._store.epoch.epoch < epoch:
            self._store.epoch = BusEpoch(epoch=epoch, state=state, reason=reason)

    async def enter(self, claim: LeaseClaim, epoch: int, state: str) -> None:
        """Put an epoch into its next state."""
        await self._fence(claim)
        self._store.epoch = msgspec.structs.replace(self._store.epoch, state=state)

    async def known(self, event_ids: Sequence[str]) -> dict[str, Recorded]:
        """Find events by id."""
        found = [await self._store.find(id_) for id_ in event_ids]
        return {event.id: event for event in found if event}

    async def stretch(
        self, wanted: Sequence[Wanted], after: tuple[int, int], limit: int, *, among: Sequence[str] = ()
    ) -> Stretch:
        """Read a stretch behind a place."""
        events = self._store.stretch(after[1], limit)
        places = [after, *((event.xid, event.position) for event in events)]
        opened = [(place, each) for place, event in enumerate(events) for each in self._open(wanted, event)]
        return Stretch(
            size=len(events),
            end=places[-1],
            settled=places[opened[0][0]] if opened else places[-1],
            open=tuple(each for _, each in opened if not among or each.event_id in among),
        )

    async def waits_s(self) -> float:
        """Return how long the oldest event has waited for a relay that tries to publish it."""
        return self._store.waits_s(TRIES_S)

    async def requeue(self, claim: LeaseClaim, wanted: Sequence[Wanted], after: tuple[int, int]) -> int:
        """Put every open event behind a place back into its service's outbox."""
        await self._fence(claim)
        events = [event for event in self._store.stretch(after[1]) if [*self._open(wanted, event)]]
        self._requeued = self._store.requeue(events)
        return len(events)

    async def republished(self, epoch: int) -> bool:
        """Tell whether everything that was requeued has left the outbox."""
        return not any(self._store.in_outbox(position) for position in self._requeued)

    def _open(self, wanted: Sequence[Wanted], event: Recorded) -> list[Open]:
        return [
            Open(
                durable=each.durable,
                event_id=event.id,
                stream=event.stream,
                version=event.version,
                waiting=self._store.in_outbox(event.position),
                age_s=self._store.age_s(event),
            )
            for each in wanted
            if each.types is None or event.type in each.types
            if self._store.inbox(each.durable, event.stream) < event.version
        ]

    async def _fence(self, claim: LeaseClaim) -> None:
        if not await self._store.renew(claim.name, claim.epoch, LEASE_S):
            raise StaleLeaseError(claim.name, claim.epoch)
