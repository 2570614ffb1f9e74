"""A service in motion: the value plus its store, bus, clock and lease, and the one way to get work done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

from contracts.message import Recorded, stream_name
from libs.eventsourcing.decider import Decider
from libs.eventstore.store import BusEpoch, ConflictError, InboxMark, LeaseClaim, Store
from libs.messaging.bus import Bus
from libs.runtime.clock import Clock, Ids
from libs.runtime.config import Config
from libs.runtime.pulse import Pulse
from libs.runtime.rebuild import Rebuilder
from libs.runtime.service import Service
from libs.runtime.snapshots import load_all
from libs.runtime.work import Cache, Work

T = TypeVar("T")
State = TypeVar("State")

#: How often a decision is taken again after somebody else was faster. As many streams of one task as fit into a batch
#: may write the same document at once, and each round lets one of them through.
MAX_CONFLICTS = 64


class NotLeaderError(Exception):
    """This process does not hold the lease of its service and decides nothing."""


class Running:
    """What handlers, workers and routes can reach. `perform` is the only way to the record."""

    def __init__(
        self,
        service: Service,
        *,
        config: Config,
        store: Store,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        publish: Callable[[tuple[Recorded, ...]], Awaitable[None]],
    ) -> None:
        self.service, self.config = service, config
        self.store, self.bus, self.clock, self.ids = store, bus, clock, ids
        self.lease: LeaseClaim | None = None
        #: The bus's epoch as it was read last for somebody who measures; None while the record does not say.
        self.bus_epoch: BusEpoch | None = None
        #: What `Service.gauges` measured for the last scrape.
        self.measured: Sequence[Any] = ()
        #: By follower: the age of the first event that it has not read, as it was asked last for somebody who measures.
        self.behind: dict[str, float] = {}
        #: Keeps the service's read model, if it has one.
        self.rebuilder = Rebuilder(self, service.projection) if service.projection else None
        #: What `Service.assemble` built.
        self.parts: Any = None
        #: Beats while this process leads.
        self.pulse = Pulse()
        #: Called when a commit has set timers, with the time of the first, so that it is not slept through.
        self.on_timer: Callable[[datetime], None] = lambda due: None
        #: By follower: tries a stream that is held back once more, for an actor; only in the process that leads.
        self.redrives: dict[str, Callable[[str, str], Awaitable[tuple[int, str]]]] = {}
        #: Called with the durable when one of its dead letters needs nobody any more.
        self.letter_settled: Callable[[str], None] = lambda durable: None
        self._publish = publish
        self._cache = Cache()
        self._turn: AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if service.one_at_a_time else nullcontext()
        )

    async def perform(
        self,
        act: Callable[[Work], Awaitable[T]],
        *,
        cause: Recorded | None = None,
        inbox: InboxMark | None = None,
        actor: str = "",
        synthetic: bool = False,
        conflicts: int = MAX_CONFLICTS,
    ) -> T:
        """Run `act` on a unit of work and commit it; on a conflict, reload and decide again, `conflicts` times at most.

        Raises NotLeaderError, StaleLeaseError, DuplicateDeliveryError, StoreUnavailableError, and whatever `act` raises;
        nothing is recorded then.
        """
        async with self._turn:
            work, result = await self._perform(act, cause, inbox, actor, synthetic, conflicts)
        if (due := work.first_timer) is not None:
            self.on_timer(due)
        await work.committed()
        return result

    async def recall(self, decider: Decider[Any, State], key: str) -> State:
        """Return an aggregate as it was last decided here, without a turn; what this process does not know takes one.

        Raises what `perform` raises.
        """
        self._require_lease()
        known = self._cache.states.get(stream_name(decider.category, key))
        if known is None:
            return await self.perform(lambda work: work.load(decider, key))
        state: State = known[1]
        return state

    async def look(self, decider: Decider[Any, State], keys: Sequence[str]) -> list[State]:
        """Return several aggregates as they are recorded, in the order of their keys, without a turn.

        What this process knows is not read, and the rest at once. Raises NotLeaderError, StoreUnavailableError.
        """
        self._require_lease()
        streams = [stream_name(decider.category, key) for key in keys]
        found: dict[str, Any] = {stream: self._cache.states.get(stream) for stream in streams}
        unknown = [stream for stream, known in found.items() if known is None]
        # It is not kept: somebody may decide meanwhile, and would then go by what was there before.
        found |= await load_all(self.store, decider, unknown)
        return [found[stream][1] for stream in streams]

    async def _perform(
        self,
        act: Callable[[Work], Awaitable[T]],
        cause: Recorded | None,
        inbox: InboxMark | None,
        actor: str,
        synthetic: bool,
        conflicts: int,
    ) -> tuple[Work, T]:
        for remaining in range(conflicts, -1, -1):
            lease = self._require_lease()
            work = Work(
                service=self.service.name,
                store=self.store,
                clock=self.clock,
                ids=self.ids,
                cache=self._cache,
                cause=cause,
                actor=actor,
                synthetic=synthetic,
                lease=lease,
                generation=self.rebuilder.generation if self.rebuilder else None,
                running=self,
                # Only at first: after a conflict nothing is taken for granted.
                presume=remaining == conflicts,
                alone=not self.service.lease_per_replica,
            )
            if inbox is not None:
                work.mark(inbox)
            result = await act(work)
            try:
                recorded = await work.commit()
            except ConflictError:
                if not remaining:
                    raise
                continue
            if recorded:
                await self._publish(recorded)
            return work, result
        raise AssertionError("unreachable")

    def _require_lease(self) -> LeaseClaim:
        if self.lease is None:
            raise NotLeaderError(f"{self.config.holder} does not hold the lease of {self.service.name}")
        return self.lease

    def lead(self, lease: LeaseClaim) -> None:
        """Act under a lease from now on; whatever was folded before it may be stale."""
        self._cache = Cache()
        self.lease = lease

    def stand_down(self) -> None:
        """Stop deciding."""
        self.lease = None
