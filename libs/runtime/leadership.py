"""Holding a lease: acquire, renew twice within its life, hear what there is to do, stop at once when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from libs.eventstore.outbox import SWEEP_AFTER_S
from libs.eventstore.store import Lease, LeaseClaim, Store, StoreUnavailableError
from libs.runtime.pulse import Pulse

log = structlog.get_logger(__name__)

#: Seconds a lease is valid; architecture section 5.
LEASE_S = 1.5
#: Seconds between renewals.
RENEW_S = 0.5


class LeaseLostError(Exception):
    """Somebody else has taken the lease over: this process must stop deciding."""


class Leadership:
    """One lease of one process of a service, whose pulse beats with every renewal."""

    def __init__(
        self,
        store: Store,
        name: str,
        holder: str,
        clock: Callable[[], float],
        *,
        service: str,
        pulse: Pulse,
    ) -> None:
        self._store, self._name, self._holder, self._clock = store, name, holder, clock
        self._service, self._pulse = service, pulse
        self._good_until = 0.0
        #: Whether another process held the lease when it was last asked for: this one stands by.
        self.standby = False

    async def acquire(self) -> LeaseClaim:
        """Wait until the lease is ours. A restarted process of the same name takes over at once."""
        while True:
            asked = self._clock()
            lease: Lease | None = None
            try:
                lease = await self._store.acquire(self._name, self._holder, LEASE_S)
                self.standby = lease is None
            except StoreUnavailableError as error:
                log.warning("lease_unreachable", lease=self._name, error=str(error))
            if lease is not None:
                self._good_until = asked + LEASE_S
                log.info("lease_acquired", lease=self._name, epoch=lease.epoch)
                return LeaseClaim(name=lease.name, epoch=lease.epoch)
            await asyncio.sleep(RENEW_S / 2)

    @property
    def live(self) -> bool:
        """Whether the lease still holds by this process's own clock."""
        return self._clock() < self._good_until

    async def hold(self, claim: LeaseClaim) -> None:
        """Renew until cancelled. Raises LeaseLostError when the epoch is taken over.

        While the record cannot be reached the lease merely lapses: every append names the epoch, so nothing wrong can
        be written, and after the outage the same holder goes on if nobody took over.
        """
        while True:
            asked = self._clock()
            try:
                beat = await self._store.beat(claim, LEASE_S, self._service, older_than_s=SWEEP_AFTER_S)
            except StoreUnavailableError as error:
                log.warning("lease_not_renewed", lease=claim.name, error=str(error))
            else:
                if beat is None:
                    raise LeaseLostError(f"lease {claim.name} has left epoch {claim.epoch}")
                self._good_until = asked + LEASE_S
                self._pulse.take(beat)
            await asyncio.sleep(RENEW_S)
