"""The relay: publishes what was committed, at once by the appender and, where that failed, by a sweep of the outbox.

An event stays in the outbox until the bus has confirmed it. So a process may die between any two lines here, and the
queue may be dropped at any time: the sweep of the service's relay leader publishes the row again, and the bus and
the inbox recognise what comes twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from contracts.message import Recorded
from libs.eventstore.store import Beat, LeaseClaim, Store, StoreUnavailableError
from libs.messaging.bus import BusError, RefusedError

log = structlog.get_logger(__name__)

#: Events published in one go.
BATCH = 256
#: Events that may wait for the bus in memory; what comes on top is left to the sweep.
QUEUE_LIMIT = 10_000
#: Seconds for which confirmed rows are collected before they are deleted together; well below `SWEEP_AFTER_S`.
LINGER_S = 0.1
#: Confirmed rows that are deleted without waiting for more.
FORGET_BATCH = 1_000
#: Age in seconds from which a row counts as left behind.
SWEEP_AFTER_S = 0.5
#: Seconds that a sweeper's lease is valid.
LEASE_S = 3.0
#: Seconds of silence after a failed publish; doubled up to the maximum.
BACK_OFF_S, MAX_BACK_OFF_S = 0.25, 5.0


class Publisher(Protocol):
    """What the relay needs of a bus."""

    async def publish(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Publish events in order and return those that were confirmed."""
        ...


class Relay:
    """Publishes one service's events. `run` works until cancelled; nothing here raises what the bus does."""

    def __init__(
        self,
        service: str,
        store: Store,
        bus: Publisher,
        *,
        holder: str = "",
        queue_limit: int = QUEUE_LIMIT,
        back_off_s: float = BACK_OFF_S,
    ) -> None:
        self._service, self._store, self._bus = service, store, bus
        self._first_back_off = self._back_off = back_off_s
        #: Loop time before which the bus is not tried again.
        self._silent_until = 0.0
        self._queue: deque[Recorded] = deque()
        self._queue_limit = queue_limit
        self._confirmed: list[int] = []
        self._wake, self._some_confirmed = asyncio.Event(), asyncio.Event()
        self._left_behind = asyncio.Event()
        self._sending = asyncio.Lock()
        #: A process started again under its name takes the lease of the sweep over at once.
        self._holder = holder or f"{service}-{secrets.token_hex(6)}"
        self._claim: LeaseClaim | None = None

    @property
    def queued(self) -> int:
        """How many events wait in memory for the bus."""
        return len(self._queue)

    async def publish(self, recorded: Sequence[Recorded]) -> None:
        """Hand over what was just committed, in order; `run` publishes it. Never waits for the bus."""
        if self._silent or len(self._queue) + len(recorded) > self._queue_limit:
            return
        self._queue.extend(recorded)
        self._wake.set()

    def heed(self, beat: Beat) -> None:
        """Sweep soon, if the record says that something was left behind."""
        if beat.left_behind:
            self._left_behind.set()

    async def run(self) -> None:
        """Publish, and sweep at first and whenever something was left behind, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump())
            group.create_task(self._forget_again_and_again())
            group.create_task(self._sweep_again_and_again())

    async def flush(self) -> None:
        """Publish what is queued and forget what was confirmed."""
        async with self._sending:
            await self._empty_queue()
            await self._forget()

    async def sweep(self, older_than_s: float = SWEEP_AFTER_S) -> int:
        """Publish rows that were left behind, per stream in order, if this process leads; return how many were."""
        swept = 0
        while not self._silent:
            pending = await self._store.pending_outbox(self._service, older_than_s=older_than_s)
            if not pending or not await self._lead():
                break
            confirmed = await self._send(pending)
            await self._store.published([event.position for event in confirmed])
            swept += len(confirmed)
            if len(confirmed) < len(pending):
                break
        return swept

    @property
    def _silent(self) -> bool:
        return asyncio.get_running_loop().time() < self._silent_until

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            async with self._sending:
                await self._empty_queue()

    async def _forget_again_and_again(self) -> None:
        # By itself, so that publications never wait for it, and for a while from the first row on, however many follow:
        # what is not deleted in time counts as left behind and would be published again.
        while True:
            await self._some_confirmed.wait()
            await asyncio.sleep(LINGER_S)
            await self._forget()

    async def _empty_queue(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            confirmed = await self._send(batch)
            self._confirmed += [event.position for event in confirmed]
            if self._confirmed:
                self._some_confirmed.set()
            if len(confirmed) < len(batch):
                # What follows must not overtake what failed: all of it is the sweep's now.
                self._queue.clear()
            if len(self._confirmed) >= FORGET_BATCH:
                await self._forget()

    async def _send(self, events: list[Recorded]) -> list[Recorded]:
        """Publish and return what was confirmed; after an outage the bus is left alone for a while."""
        reason = "not confirmed"
        try:
            confirmed = await self._bus.publish(events)
        except RefusedError as error:
            # Somebody must correct permissions or topology. The other events of this service go on meanwhile.
            log.error("publish_refused", service=self._service, subjects=error.subjects, reason=error.reason)
            return error.confirmed
        except BusError as error:
            confirmed, reason = [], f"{type(error).__name__}: {error}"
        if len(confirmed) == len(events):
            self._back_off = self._first_back_off
            return confirmed
        log.warning(
            "publish_failed",
            service=self._service,
            unconfirmed=len(events) - len(confirmed),
            retry_in_s=self._back_off,
            reason=reason,
        )
        self._silent_until = asyncio.get_running_loop().time() + self._back_off
        self._back_off = min(2 * self._back_off, MAX_BACK_OFF_S)
        return confirmed

    async def _forget(self) -> None:
        positions, self._confirmed = self._confirmed, []
        self._some_confirmed.clear()
        if not positions:
            return
        try:
            await self._store.published(positions)
        except StoreUnavailableError as error:
            log.warning(
                "outbox_not_cleared",
                service=self._service,
                rows=len(positions),
                error=str(error),
            )

    async def _sweep_again_and_again(self) -> None:
        # What a predecessor left behind need not grow old: nobody else is about to publish it.
        older_than_s = 0.0
        while True:
            try:
                swept = await self.sweep(older_than_s)
                older_than_s = SWEEP_AFTER_S
            except StoreUnavailableError as error:
                log.warning("sweep_failed", service=self._service, error=str(error))
                swept = 0
            if swept:
                log.info("outbox_swept", service=self._service, events=swept)
            await self._left_behind.wait()
            self._left_behind.clear()

    async def _lead(self) -> bool:
        """Hold `relay-<service>`: two sweepers would publish the same rows side by side, out of order."""
        name = f"relay-{self._service}"
        if self._claim and await self._store.renew(name, self._claim.epoch, LEASE_S):
            return True
        lease = await self._store.acquire(name, self._holder, LEASE_S)
        self._claim = LeaseClaim(name=name, epoch=lease.epoch) if lease else None
        return lease is not None
