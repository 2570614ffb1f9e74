"""From delivery to acknowledgement: inbox, gaps, handler, commit, outcome. The one place that catches everything."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable

import structlog

from contracts.message import Recorded, Unknown
from libs.eventstore.store import (
    ConflictError,
    DuplicateDeliveryError,
    InboxMark,
    StaleLeaseError,
    StoreUnavailableError,
)
from libs.messaging.bus import BusError, Delivery
from libs.messaging.outcome import Done, Outcome, Reject, Retry, settle
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.service import Consumer
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

BATCH = 64
#: Seconds a fetch waits for its first message.
FETCH_S = 1.0
#: Seconds that another replica has to take what only a newer release understands, again and again, before it is buried.
NEWER_S = 5.0


class Consumption:
    """Feeds one durable of a running service to its handler, stream by stream in order."""

    def __init__(self, running: Running, consumer: Consumer) -> None:
        self._running, self._consumer = running, consumer
        self.durable = consumer.durable(running.service.name)
        self.handled = 0
        self.failed = 0
        #: Messages that this process has given up; each is a dead letter that a person has to look at.
        self.buried = 0
        self._record_away = False

    async def run(self) -> None:
        """Consume until cancelled. Raises StaleLeaseError when somebody else leads."""
        while True:
            if not await self.step(FETCH_S):
                await asyncio.sleep(0)

    async def step(self, timeout_s: float) -> int:
        """Handle one batch and return its size. Different streams are handled at once, one stream in order."""
        if self._record_away:
            # Nothing is fetched that could not be decided: every delivery counts towards a message's last.
            await self._running.store.ping()
            self._record_away = False
        rebuilder = self._running.rebuilder
        if rebuilder is not None and rebuilder.holds(self._consumer):
            await asyncio.sleep(0.02)
            return 0
        room = BATCH if self._consumer.room is None else self._consumer.room(self._running.parts)
        if room <= 0:
            await asyncio.sleep(0.05)
            return 0
        try:
            deliveries = await self._running.bus.fetch(self.durable, min(room, BATCH), timeout_s)
        except BusError as error:
            log.warning("fetch_failed", durable=self.durable, error=str(error))
            await asyncio.sleep(0.2)
            return 0
        streams: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            streams[delivery.recorded.stream].append(delivery)
        await _all(self._stream(of_stream) for of_stream in streams.values())
        return len(deliveries)

    async def _stream(self, deliveries: list[Delivery]) -> None:
        deliveries = sorted(deliveries, key=lambda delivery: delivery.recorded.version)
        for place, delivery in enumerate(deliveries):
            outcome = await self._handle(delivery.recorded)
            at = self._running.clock.now()
            try:
                self.buried += await settle(self._running.bus, delivery, self.durable, outcome, at)
            except BusError as error:
                # Not settled: it comes again, and the inbox recognises it.
                log.warning("settling_failed", durable=self.durable, error=str(error))
                return
            if isinstance(outcome, Retry):
                # What follows in the same stream waits behind it: the inbox would hand it over first otherwise.
                for later in deliveries[place + 1 :]:
                    await later.nak(outcome.after_s, failed=False)
                return

    async def _handle(self, recorded: Recorded) -> Outcome:
        try:
            before = await self._running.store.handled(self.durable, recorded.stream)
            if recorded.version <= before:
                return Done()
            pending = [recorded]
            if recorded.version > before + 1:
                missed = await self._running.store.read_stream(
                    recorded.stream, before, types=self._consumer.types, upto=recorded.version - 1
                )
                pending = [*missed, recorded]
            for event in pending:
                outcome = await self._perform(event, before)
                if not isinstance(outcome, Done):
                    return outcome
                before = event.version
            return Done()
        except DuplicateDeliveryError:
            # Another delivery was faster, perhaps with an earlier event only: the inbox tells when this comes again.
            return Retry(after_s=0.05, reason="handled elsewhere meanwhile", counted=False)
        except ConflictError as error:
            return Retry(after_s=0.2, reason=str(error), counted=False)
        except (StaleLeaseError, NotLeaderError):
            raise
        except StoreUnavailableError as error:
            self._record_away = True
            return Retry(after_s=0.5, reason=str(error), counted=False)
        except Exception as error:
            self.failed += 1
            log.exception("handler_failed", durable=self.durable, event_id=recorded.id, type=recorded.type)
            return Retry(after_s=1.0, reason=f"{type(error).__name__}: {error}")

    async def _perform(self, event: Recorded, before: int) -> Outcome:
        if isinstance(event.event, Unknown) and not self._consumer.everything:
            # Not to be passed over: the inbox would say that it was handled.
            reason = f"{event.type} of schema version {event.schema_version} comes from a newer release"
            return Retry(after_s=NEWER_S, reason=reason)
        news = event if self._consumer.everything else event.event

        async def act(work: Work) -> None:
            outcome = await self._consumer.handler(news, work)
            if isinstance(outcome, (Retry, Reject)):
                raise _RefusedError(outcome)

        mark = InboxMark(consumer=self.durable, stream=event.stream, before=before, version=event.version)
        try:
            await self._running.perform(act, cause=event, inbox=mark)
        except _RefusedError as refused:
            return refused.outcome
        self.handled += 1
        return Done()


class _RefusedError(Exception):
    """Leaves `perform` without a commit."""

    def __init__(self, outcome: Retry | Reject) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


async def _all(jobs: Iterable[Awaitable[None]]) -> None:
    """Wait for all, then raise the first error: no sibling is left running behind a cancelled fetch."""
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
