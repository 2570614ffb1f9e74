"""The auditor: looks at the bus beside the record again and again, and makes the bus anew when the two differ.

Everything it decides is in the record before it is done to the bus, under a lease. So a process may die between any
two lines here: whoever leads next finds the state of the epoch and goes on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
import structlog

from contracts.message import Registry
from libs.busaudit.comparison import Comparison
from libs.busaudit.ports import BusView, RecordView, Wanted
from libs.busaudit.sight import Notes, Sight, differences
from libs.busaudit.stranding import Stranding
from libs.eventstore.store import BusEpoch, LeaseClaim

log = structlog.get_logger(__name__)

#: Sequences of one epoch. Those of the next begin behind it: an acknowledgement that comes late cannot hit a message
#: of another epoch, and what is counted or named by sequence stays apart.
SEQUENCES = 10**12
#: Seconds between two looks at a sound bus, and between two steps of a rebuild.
LOOK_S, STEP_S = 1.0, 0.25
#: Seconds after which a second rebuild may follow a first one; doubled each time, up to the longest.
PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
#: Seconds in which a stream stores nothing of what waits for it until it counts as stuck: longer than any relay pauses.
STUCK_S = 30.0


class Auditor:
    """Audits one bus. `look` is one turn and returns the seconds until the next."""

    def __init__(
        self,
        bus: BusView,
        record: RecordView,
        wanted: Sequence[Wanted],
        registry: Registry,
        now: Callable[[], datetime],
        chance: random.Random,
    ) -> None:
        self._bus, self._record, self._wanted, self._now = bus, record, tuple(wanted), now
        self._comparison = Comparison(bus, record, registry, chance)
        self._stranding = Stranding(bus, record, self._wanted)
        self._memory: Notes | None = None
        self._kept: Notes | None = None
        self._claim: LeaseClaim | None = None
        #: How far the stream of which server was, and since when it has been there.
        self._reached: tuple[str, datetime, int] | None = None
        self._reached_at = now()
        #: When this process rebuilt the bus last, and how long it then leaves it alone.
        self._rebuilt_at: datetime | None = None
        self._pause_s = PAUSE_S

    async def look(self) -> float:
        """Look once, or go one step on in a rebuild.

        Raises BusUnavailableError, RefusedError, ApiError, StoreUnavailableError, StaleLeaseError; the next look goes on.
        """
        claim = await self._record.lead()
        if claim is None:
            return LOOK_S
        if claim != self._claim:
            # What somebody else saw meanwhile counts, not what this process remembers.
            self._memory = self._kept = await self._record.remembered()
            self._stranding.restart()
            self._claim = claim
        epoch = await self._record.epoch()
        if not epoch.sound:
            await self._step(claim, epoch)
            return STEP_S
        sight = await self._bus.sight()
        if epoch.epoch == 0:
            return await self._adopt(claim, sight)
        found = await self._differences(epoch, sight)
        if found:
            await self._raise(claim, epoch, found)
            return 0.0
        await self._keep(claim)
        return LOOK_S

    async def _raise(self, claim: LeaseClaim, epoch: BusEpoch, found: Sequence[str]) -> None:
        """Begin the next epoch."""
        log.error("bus_epoch_raised", epoch=epoch.epoch + 1, found=found)
        await self._record.begin(claim, epoch.epoch + 1, "rebuilding", "; ".join(found))

    async def _differences(self, epoch: BusEpoch, sight: Sight | None) -> list[str]:
        """Compare a sound bus with what is remembered and with the record."""
        if sight is None:
            return ["there is no stream of events"]
        memory = self._memory
        if memory is None or memory.epoch != epoch.epoch:
            return ["nothing is remembered of this epoch"]
        if found := differences(memory.sight, sight, self._now()):
            return found
        if sight.server != memory.sight.server:
            # A server that was started again may have lost what it does not miss: everything is read once more.
            memory = msgspec.structs.replace(memory, compared=sight.first_seq - 1)
        memory, found = await self._comparison.look(memory, sight)
        if found:
            return found
        if found := await self._stuck(sight):
            return found
        settled, found = await self._stranding.look(memory.settled)
        self._memory = msgspec.structs.replace(memory, sight=sight, settled=settled)
        return found

    async def _stuck(self, sight: Sight) -> list[str]:
        """Say whether the stream is there and stores nothing.

        After a failed write nats-server (2.15) stores nothing more in that stream until it is started again or the
        stream is made anew, though the disk has had room for long; it does not answer who publishes, either.
        """
        reached, now = (sight.server, sight.created, sight.last_seq), self._now()
        if reached != self._reached:
            self._reached, self._reached_at = reached, now
        still_s = (now - self._reached_at).total_seconds()
        if still_s < STUCK_S or (waits_s := await self._record.waits_s()) < STUCK_S:
            return []
        return [f"it has stored nothing for {still_s:.0f} s, and an event has waited for {waits_s:.0f} s"]

    async def _adopt(self, claim: LeaseClaim, sight: Sight | None) -> float:
        """Begin the first epoch with the bus as it is."""
        if sight is None:
            # The topology is not there yet.
            return STEP_S
        self._memory = Notes(epoch=1, sight=sight, compared=sight.first_seq - 1)
        await self._keep(claim)
        await self._record.begin(claim, 1, "sound", "")
        log.info("bus_epoch_began", epoch=1, messages=sight.messages)
        return STEP_S

    async def _step(self, claim: LeaseClaim, epoch: BusEpoch) -> None:
        """Do what the epoch's state asks for next."""
        match epoch.state:
            case "rebuilding":
                if self._too_soon():
                    return
                await self._bus.rebuild(epoch.epoch * SEQUENCES)
                sight = await self._bus.sight()
                if sight is None or sight.first_seq < epoch.epoch * SEQUENCES:
                    # Somebody else made it in between, with sequences of an earlier epoch.
                    return
                settled = self._memory.settled if self._memory else (0, 0)
                self._memory = Notes(
                    epoch=epoch.epoch, sight=sight, compared=sight.first_seq - 1, settled=settled
                )
                await self._keep(claim)
                await self._record.enter(claim, epoch.epoch, "rebuilt")
                self._rebuilt()
            case "rebuilt":
                # A turn later: what the old stream had confirmed is out of the outbox by now, and counts as open.
                settled = self._memory.settled if self._memory else (0, 0)
                events = await self._record.requeue(claim, self._wanted, settled)
                log.warning("bus_requeued", epoch=epoch.epoch, events=events)
                await self._record.enter(claim, epoch.epoch, "republishing")
            case _:
                if await self._record.republished(epoch.epoch):
                    self._stranding.restart()
                    await self._record.enter(claim, epoch.epoch, "sound")
                    log.warning("bus_epoch_sound", epoch=epoch.epoch)
                elif (sight := await self._bus.sight()) and (found := await self._stuck(sight)):
                    await self._raise(claim, epoch, found)

    def _too_soon(self) -> bool:
        """Tell whether to wait with a rebuild: a cause that stays must not make one after the other."""
        return self._since_s() < self._pause_s

    def _rebuilt(self) -> None:
        quiet = self._since_s() > 2 * self._pause_s
        self._pause_s = PAUSE_S if quiet else min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._rebuilt_at = self._now()

    def _since_s(self) -> float:
        return math.inf if self._rebuilt_at is None else (self._now() - self._rebuilt_at).total_seconds()

    async def _keep(self, claim: LeaseClaim) -> None:
        if self._memory is not None and self._memory != self._kept:
            await self._record.keep(claim, self._memory)
            self._kept = self._memory
