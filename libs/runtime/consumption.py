"""From delivery to acknowledgement: inbox, gaps, handler, commit, outcome. The one place that catches everything."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

import structlog

from libs.eventstore.store import (
    Arrival,
    Due,
    InboxMark,
    StaleLeaseError,
    StoreUnavailableError,
)
from libs.messaging.bus import BusError, Delivery
from libs.messaging.outcome import Done, Outcome, Retry, settle
from libs.messaging.reread import Reread
from libs.runtime.handling import Handling
from libs.runtime.running import MAX_CONFLICTS, NotLeaderError, Running
from libs.runtime.service import Consumer
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Seconds a fetch waits for its first message.
FETCH_S = 1.0


class Consumption:
    """Feeds one durable of a running service to its handler, stream by stream in order."""

    def __init__(self, running: Running, consumer: Consumer) -> None:
        self._running, self._consumer = running, consumer
        self.durable = consumer.durable(running.service.name)
        self.handled = 0
        self._handling = Handling(running, consumer)
        #: Messages that this process has given up; each is a dead letter that a person has to look at.
        self.buried = 0
        self._record_away = False

    @property
    def failed(self) -> int:
        """How many handler calls have raised."""
        return self._handling.failed

    async def run(self) -> None:
        """Consume until cancelled. Raises StaleLeaseError when somebody else leads."""
        await self.catch_up()
        while True:
            await self.step(FETCH_S)
            await asyncio.sleep(0)

    async def catch_up(self) -> int:
        """Handle what the end of the record holds for this durable, and return how much that was.

        A predecessor that died had messages in hand, and events of a service that died may not be on the bus yet: it
        would give them out only after their ack wait, which is longer than a task may stand still.
        """
        missed = await self._running.store.unhandled(self.durable, self._consumer.types)
        room = len(missed) if self._consumer.room is None else self._consumer.room(self._running.parts)
        taken = [Reread(event) for event in missed[: max(room, 0)]]
        await self._take(taken)
        return len(taken)

    async def step(self, timeout_s: float) -> int:
        """Handle one batch and return its size: one append for all of it, each stream in order."""
        if self._record_away:
            # Nothing is fetched that could not be decided: every delivery counts towards a message's last.
            await self._running.store.ping()
            self._record_away = False
        batch = self._consumer.batch
        room = batch if self._consumer.room is None else self._consumer.room(self._running.parts)
        if room <= 0:
            await asyncio.sleep(0.05)
            return 0
        try:
            deliveries = await self._running.bus.fetch(self.durable, min(room, batch), timeout_s)
        except BusError as error:
            log.warning("fetch_failed", durable=self.durable, error=str(error))
            await asyncio.sleep(0.2)
            return 0
        await self._take(deliveries)
        return len(deliveries)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        streams: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            streams[delivery.recorded.stream].append(delivery)
        for of_stream in streams.values():
            of_stream.sort(key=lambda delivery: delivery.recorded.version)
        if deliveries:
            await self._handle(list(streams.values()))

    async def _handle(self, streams: list[list[Delivery]]) -> None:
        """Decide on everything in one append and settle it; if that fails, on less at a time."""
        try:
            outcomes = await self._decide(streams)
        except (StaleLeaseError, NotLeaderError):
            raise
        except StoreUnavailableError as error:
            self._record_away = True
            outcomes = [[Retry(after_s=0.5, reason=str(error), counted=False)] for _ in streams]
        except Exception as error:
            # One of them has undone all: each by itself gets the answer that is its own.
            if len(streams) > 1:
                for one in streams:
                    await self._handle([one])
                return
            deliveries = streams[0]
            if len(deliveries) > 1:
                # The others come again, and find in the inbox what became of the first.
                await self._handle([deliveries[:1]])
                streams = [deliveries[1:]]
                outcomes = [[Retry(after_s=0.05, reason=str(error), counted=False)]]
            else:
                outcomes = [[self._handling.failure(error, deliveries[0].recorded)]]
        for deliveries, of_stream in zip(streams, outcomes, strict=True):
            await self._settle(deliveries, of_stream)

    async def _decide(self, streams: list[list[Delivery]]) -> list[list[Outcome]]:
        """Return outcomes for each stream's deliveries in order, up to the first that is not `Done`."""
        arrivals = [
            Arrival(stream=later.recorded.stream, after=before, version=later.recorded.version)
            for deliveries in streams
            for before, later in zip(
                (0, *(delivery.recorded.version for delivery in deliveries)), deliveries, strict=False
            )
        ]
        due = await self._running.store.due(self.durable, arrivals, self._consumer.types)

        async def act(work: Work) -> list[list[Outcome]]:
            waiting = iter(due)
            return [
                await self._stream(work, deliveries, list(islice(waiting, len(deliveries))))
                for deliveries in streams
            ]

        # Of several streams that meet in one conflict, each tries again by itself.
        conflicts = MAX_CONFLICTS if len(streams) == 1 else 0
        return await self._running.perform(act, conflicts=conflicts)

    async def _stream(self, work: Work, deliveries: list[Delivery], due: list[Due]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        before = handled = due[0].handled
        for delivery, known in zip(deliveries, due, strict=True):
            news = [*known.missed, delivery.recorded]
            outcome: Outcome = Done()
            for event in news:
                if event.version <= handled:
                    continue
                outcome = await self._handling.turn(event, work)
                if not isinstance(outcome, Done):
                    break
                handled = event.version
            outcomes.append(outcome)
            if not isinstance(outcome, Done):
                break
        if handled > before:
            stream = deliveries[0].recorded.stream
            work.mark(InboxMark(consumer=self.durable, stream=stream, before=before, version=handled))
        return outcomes

    async def _settle(self, deliveries: list[Delivery], outcomes: list[Outcome]) -> None:
        at = self._running.clock.now()
        for delivery, outcome in zip(deliveries, outcomes, strict=False):
            self.handled += isinstance(outcome, Done)
            try:
                self.buried += await settle(self._running.bus, delivery, self.durable, outcome, at)
            except BusError as error:
                # Not settled: it comes again, and the inbox recognises it.
                log.warning("settling_failed", durable=self.durable, error=str(error))
                return
        if isinstance(last := outcomes[-1], Retry):
            # What follows in the same stream waits behind it: the inbox would hand it over first otherwise.
            for later in deliveries[len(outcomes) :]:
                await later.nak(last.after_s, failed=False)
        elif len(outcomes) < len(deliveries):
            await self._handle([deliveries[len(outcomes) :]])
