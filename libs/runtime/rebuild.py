"""Builds a service's read model anew beside the one that is read, switches, and removes the old one.

Whoever reads sees the old documents or the new ones, never a mixture and never nothing: which generation is read is one
row, and every read looks at it. The follower's cursor moves in the same transaction as that row. So whatever this
process dies of, the old documents are in use before that transaction and the new ones after it; what is left over is
removed at the next start. `docs/rebuild.md` has the argument in full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import msgspec
import structlog

from contracts.message import Recorded
from libs.eventstore.store import (
    ConflictError,
    Cursor,
    EventStoreError,
    Generation,
    LeaseClaim,
    StaleLeaseError,
    StoreUnavailableError,
    Switch,
)
from libs.eventstore.store import Projection as Read
from libs.runtime.projection import Folding, Projection

if TYPE_CHECKING:
    from libs.runtime.following import Following
    from libs.runtime.running import Running
    from libs.runtime.service import Follower

log = structlog.get_logger(__name__)

T = TypeVar("T")
Kind: TypeAlias = Literal["rebuild", "check"]

#: Events left behind a pass over the record that are few enough for the switch.
FEW = 100
#: Seconds before a rebuild at start that failed is tried again, doubled each time up to the maximum.
AGAIN_S, LONGEST_AGAIN_S = 1.0, 60.0
#: Differences that a comparison names.
NAMED = 20


class RebuildError(Exception):
    """A rebuild or comparison could not be finished; what was in use stays in use."""


class Job(msgspec.Struct, kw_only=True):
    """A rebuild or a comparison, under way or over."""

    id: str
    kind: Kind
    state: Literal["waiting", "building", "switching", "comparing", "removing", "done", "failed"] = "waiting"
    #: Events folded so far.
    events: int = 0
    #: Documents compared, and the keys (`view/key`) of the first that are not alike.
    compared: int = 0
    different: list[str] = []
    #: How many are not alike.
    differences: int = 0
    reason: str = ""
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.state in ("done", "failed")


class Rebuilder:
    """Keeps the read model of one service; only the process that leads works with it."""

    def __init__(self, running: Running, projection: Projection) -> None:
        self._running, self._projection = running, projection
        self._name = running.service.name
        (follower,) = [one for one in running.service.follows if one.handler is projection.fold]
        if not follower.everything:
            raise ValueError(f"the read model of {self._name} must be folded by a follower of everything")
        self._follower = follower
        self._following: Following | None = None
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._read: Read | None = None
        #: The last job, for whoever asks.
        self.job: Job | None = None

    @property
    def generation(self) -> Generation | None:
        """Name the generation that is read; None before `open`."""
        if self._read is None:
            return None
        return Generation(projection=self._name, number=self._read.generation)

    @property
    def outdated(self) -> bool:
        """Tell whether other code than this has written the documents: it must not fold on into them."""
        read, wanted = self._read, self._projection
        return read is not None and not (read.version == wanted.version and {*wanted.views} <= {*read.views})

    @property
    def failure(self) -> str:
        """Say why the documents are not those of this code; empty where they are, or will be without anybody's help."""
        return self.job.reason if self.job is not None and self.outdated else ""

    async def open(self, followings: Sequence[Following]) -> None:
        """Find out what is read, and by whom it is kept, after this process has taken the lead."""
        name = self._follower.durable(self._name)
        (self._following,) = [following for following in followings if following.durable == name]
        self._read = await self._look()
        if not self.outdated:
            await self._note()

    def holds(self, follower: Follower) -> bool:
        """Tell whether a follower must not read on: other code has written what it would write into."""
        return self.outdated and follower is self._follower

    def ask(self, kind: Kind) -> Job | None:
        """Have something done; None while something else is."""
        if self.job is not None and not self.job.over:
            return None
        self.job = Job(id=self._running.ids.new(), kind=kind)
        self._jobs.put_nowait(self.job)
        return self.job

    async def run(self) -> None:
        """Build the documents anew if other code has written them, then do what is asked for, until cancelled."""
        await self._remove_leftovers()
        pause = AGAIN_S
        while self.outdated:
            log.info("projection_outdated", projection=self._name, version=self._projection.version)
            self.ask("rebuild")
            await self._carry_out(await self._jobs.get())
            if self.outdated:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_AGAIN_S)
        while True:
            await self._carry_out(await self._jobs.get())

    async def _carry_out(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await (self._rebuild(job) if job.kind == "rebuild" else self._check(job))
            job.state = "done"
        except StaleLeaseError:
            raise
        except (RebuildError, EventStoreError) as error:
            job.state, job.reason = "failed", str(error)
        finally:
            job.seconds = round(loop.time() - started, 3)
        log.info("projection_job_over", projection=self._name, **msgspec.structs.asdict(job))
        await self._note()

    async def _note(self) -> None:
        """Keep in the record whether there is a failure that somebody has to be told of; alerting looks there."""
        if (lease := self._running.lease) is not None:
            failure = self.failure
            await self._again(lambda: self._running.store.note_rebuild(lease, self._name, failure))

    async def _rebuild(self, job: Job) -> None:
        read, lease, following = self._in_use()
        folding = await self._begin(job)
        try:
            upto = await self._fold(folding, Cursor(), job)
            async with following.still() as reached:
                job.state = "switching"
                # What is in use may have got further meanwhile; it must not lose that.
                upto = await self._fold(folding, upto, job, most=max(reached, upto))
                switch = Switch(
                    lease=lease,
                    name=self._name,
                    generation=read.generation,
                    to=folding.number,
                    version=self._projection.version,
                    # With those of the code before: they are empty now, and what is left of them is found by their names.
                    views=tuple(self._views),
                    consumer=following.durable,
                    upto=upto,
                )
                await self._switch(switch)
                # What is cached in this process was folded from the documents of before.
                self._running.lead(lease)
        except BaseException:
            await self._discard_quietly(folding.number)
            raise
        job.state = "removing"
        await self._remove_leftovers()

    async def _check(self, job: Job) -> None:
        read, _, following = self._in_use()
        if self.outdated:
            raise RebuildError("other code has written what is in use; it is being built anew")
        folding = await self._begin(job)
        try:
            async with following.still() as reached:
                pass
            upto = await self._fold(folding, Cursor(), job, most=reached)
            job.state = "comparing"
            folding.touched.clear()
            suspects = await self._suspects(job, (read.generation, folding.number))
            async with following.still() as reached:
                if held := following.held_back:
                    raise RebuildError(
                        f"what is in use lacks events of {len(held)} streams, {held[0]} among them: they failed"
                        " (`autopilot dlq list`)"
                    )
                # Both tell of the same events now.
                await self._fold(folding, upto, job, most=reached)
                suspects |= folding.touched
                suspects = {place for place in suspects if not await self._alike(place, folding.number)}
            job.differences = len(suspects)
            job.different = [f"{view}/{key}" for view, key in sorted(suspects)][:NAMED]
        finally:
            await self._discard_quietly(folding.number)

    def _in_use(self) -> tuple[Read, LeaseClaim, Following]:
        lease = self._running.lease
        if self._read is None or lease is None or self._following is None:
            raise RebuildError("this process does not lead")
        return self._read, lease, self._following

    async def _begin(self, job: Job) -> Folding:
        read, lease, _ = self._in_use()
        job.state = "building"
        known = await self._again(lambda: self._running.store.generations(self._views))
        number = max([read.generation, *known]) + 1
        return Folding(self._running.store, self._name, lease, self._projection, number)

    async def _fold(self, folding: Folding, upto: Cursor, job: Job, most: Cursor | None = None) -> Cursor:
        """Fold what lies behind a place, up to another one or until hardly anything is left; return the place reached."""
        while True:
            before = folding.events

            async def once() -> None:
                nonlocal upto
                async for recorded in self._running.store.scan(upto, upto=most):
                    await self._take(folding, recorded, job)
                    # It is not folded again where the scan breaks off.
                    upto = Cursor(xid=recorded.xid, position=recorded.position)

            await self._again(once)
            await folding.flush()
            if most is not None or folding.events - before < FEW:
                return upto

    async def _take(self, folding: Folding, recorded: Recorded, job: Job) -> None:
        try:
            await folding.take(recorded)
        except StaleLeaseError:
            raise
        except StoreUnavailableError as error:
            # Unlike a read that breaks off: what this event has led to may be folded already.
            raise RebuildError(str(error)) from error
        except Exception as error:
            what = f"{recorded.type} at position {recorded.position} ({recorded.stream})"
            log.exception("projection_failed", projection=self._name, event_id=recorded.id)
            raise RebuildError(f"{what} cannot be folded: {type(error).__name__}: {error}") from error
        job.events = folding.events

    async def _switch(self, switch: Switch) -> None:
        while True:
            refusal: ConflictError | None = None
            try:
                await self._running.store.switch(switch)
            except StoreUnavailableError as error:
                log.warning("record_unavailable", projection=self._name, error=str(error))
            except ConflictError as error:
                refusal = error
            # An answer may be lost, and an earlier try have got through: what is read now tells.
            self._read = await self._look()
            if self._read.generation == switch.to:
                return
            if refusal is not None:
                raise refusal
            await asyncio.sleep(AGAIN_S)

    async def _suspects(self, job: Job, generations: tuple[int, int]) -> set[tuple[str, str]]:
        """Compare all documents of two generations, while the one in use goes on."""
        suspects: set[tuple[str, str]] = set()
        for view in self._projection.views:
            after = ""
            while page := await self._running.store.compare(view, generations, after):
                suspects |= {(view, key) for key, alike in page if not alike}
                job.compared += len(page)
                after = page[-1][0]
        return suspects

    async def _alike(self, place: tuple[str, str], number: int) -> bool:
        one = await self._running.store.document(*place)
        other = await self._running.store.document(*place, generation=number)
        if one is None or other is None:
            return one is other
        return one.sort == other.sort and msgspec.json.decode(one.data) == msgspec.json.decode(other.data)

    async def _remove_leftovers(self) -> None:
        """Remove every generation but the one that is read: of rebuilds that did not end, and what was read before."""
        for number in await self._again(lambda: self._running.store.generations(self._views)):
            if self._read is not None and number != self._read.generation:
                await self._discard(number)

    async def _discard_quietly(self, number: int) -> None:
        """Remove what came of a rebuild that failed; if that fails too, the next start does it."""
        try:
            await self._discard(number)
        except Exception as error:
            log.warning("generation_left_over", projection=self._name, generation=number, error=str(error))

    async def _discard(self, number: int) -> None:
        removed = 1
        while removed:
            removed = await self._again(lambda: self._running.store.discard(self._views, number))
            await asyncio.sleep(0)

    async def _look(self) -> Read:
        return await self._again(self._register)

    async def _register(self) -> Read:
        projection = self._projection
        return await self._running.store.register(self._name, projection.views, projection.version)

    @property
    def _views(self) -> list[str]:
        """List the views of this code and of all before it."""
        return sorted({*self._projection.views, *(self._read.views if self._read else ())})

    async def _again(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do what may be done twice, for as long as the record is away."""
        while True:
            try:
                return await act()
            except StoreUnavailableError as error:
                log.warning("record_unavailable", projection=self._name, error=str(error))
                await asyncio.sleep(AGAIN_S)
