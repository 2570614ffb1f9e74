"""A follower at work: it reads the record in order, a page at a time, and moves its cursor in the append of the effects.

No message, no acknowledgement and no inbox row: for a consumer on which no task waits that is a fraction of the cost of
the bus. Effects and cursor become true together, so whatever this process dies of, its successor goes on behind the last
event whose effect is there.

An event that fails holds back its own stream and no other: the cursor passes it, the record keeps the version up to which
the stream is handled, and from there it is tried again, in order, until it has caught up with the cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from contracts.message import Recorded
from libs.eventstore.store import (
    Cursor,
    CursorMark,
    DuplicateDeliveryError,
    HoldMark,
    StaleLeaseError,
    StoreUnavailableError,
)
from libs.messaging.bus import MAX_DELIVER, BusError
from libs.messaging.outcome import Done, Outcome, Reject, Retry
from libs.messaging.reread import Reread
from libs.runtime.handling import Handling
from libs.runtime.running import MAX_CONFLICTS, NotLeaderError, Running
from libs.runtime.service import Follower
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Seconds until a dead letter is tried again that could not be written.
UNWRITTEN_S = 1.0
#: Times as long as a page took that a follower leaves to others before the next, and seconds at most.
SHARE, LONGEST_S = 3.0, 1.0


@dataclass
class _Held:
    """A stream that is held back."""

    #: Last version handled.
    version: int
    due: datetime
    failures: int = 0
    #: Whether a dead letter has been written: a person has to look at it.
    buried: bool = False


class Following:
    """Feeds one follower of a running service from the record."""

    def __init__(self, running: Running, follower: Follower) -> None:
        self._running, self._follower = running, follower
        self.durable = follower.durable(running.service.name)
        self.handled = 0
        self._handling = Handling(running, follower)
        self._cursor: Cursor | None = None
        self._held: dict[str, _Held] = {}
        #: Whoever has it may rely on the cursor standing still.
        self._turn = asyncio.Lock()

    @property
    def failed(self) -> int:
        """How many handler calls have raised."""
        return self._handling.failed

    @property
    def buried(self) -> int:
        """How many streams are given up until a person looks at them."""
        return sum(held.buried for held in self._held.values())

    async def run(self) -> None:
        """Follow until cancelled. Raises StaleLeaseError when somebody else leads."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            size = await self.step()
            took = loop.time() - started
            # What waits together is handled together, and the more there is to do the more of it: tasks do not wait for
            # this, and get most of the time. A full page says that more is there.
            pause = max(self._follower.every_s, min(SHARE * took, LONGEST_S))
            await asyncio.sleep(0 if size == self._follower.batch else pause)
            if not size:
                await self._news()

    async def _news(self) -> None:
        """Wait until there is something behind the cursor, or a stream that is held back is to be tried again."""
        due = min((held.due for held in self._held.values() if not held.buried), default=None)
        wait = None if due is None else max((due - self._running.clock.now()).total_seconds(), 0.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._running.pulse.news(self._cursor)

    async def step(self) -> int:
        """Try what is due of what is held back, then handle one page; return the number of events looked at."""
        rebuilder = self._running.rebuilder
        if rebuilder is not None and rebuilder.holds(self._follower):
            return 0
        async with self._turn:
            try:
                cursor = await self._open()
                tried = await self._try_again()
                page = await self._running.store.read_page(
                    cursor, self._follower.types, limit=self._follower.batch
                )
                if page is None:
                    return tried
                await self._take(page.events, page.end)
                return page.size
            except DuplicateDeliveryError:
                # An append of before took effect though nobody said so.
                self._cursor = None
                return 1
            except BaseException:
                self._cursor = None
                raise

    @asynccontextmanager
    async def still(self) -> AsyncIterator[Cursor]:
        """Let nothing be handled meanwhile; gives the place up to which everything is, but for what is held back."""
        async with self._turn:
            yield await self._open()
            self._cursor = None

    @property
    def held_back(self) -> list[str]:
        """Name the streams of which less is handled than has been read."""
        return sorted(self._held)

    async def redrive(self, stream: str, actor: str) -> tuple[int, str]:
        """Try a stream that is held back once more; return how many events took effect, and why no more did.

        Raises NotLeaderError, StaleLeaseError, StoreUnavailableError, DuplicateDeliveryError.
        """
        async with self._turn:
            try:
                await self._open()
                if (held := self._held.get(stream)) is None:
                    return 0, ""
                done, outcome = await self._catch_up(stream, held, actor=actor)
                return done, "" if isinstance(outcome, Done) else outcome.reason
            except BaseException:
                self._cursor = None
                raise

    async def _open(self) -> Cursor:
        """Read from the record how far it got, where that is not known for certain."""
        if self._cursor is None:
            store, now = self._running.store, self._running.clock.now()
            cursor = await store.follower(self.durable, self._follower.types)
            versions = await store.held_back(self.durable)
            # What is known of how often each has failed counts on.
            known, self._held = self._held, {}
            for stream, version in versions.items():
                held = self._held[stream] = known.get(stream) or _Held(version, due=now)
                held.version = version
            self._cursor = cursor
        return self._cursor

    async def _take(self, events: Sequence[Recorded], end: Cursor) -> None:
        """Handle a page in one append; if that fails, one event after the other."""
        try:
            await self._perform(events, end)
            return
        except (StaleLeaseError, NotLeaderError, StoreUnavailableError, DuplicateDeliveryError):
            raise
        except Exception as error:
            if len(events) == 1:
                outcome = self._handling.failure(error, events[0])
                await self._perform((), end, (events[0], outcome))
                return
        for place, event in enumerate(events):
            last = place == len(events) - 1
            await self._take([event], end if last else _place(event))

    async def _perform(
        self,
        events: Sequence[Recorded],
        end: Cursor,
        failed: tuple[Recorded, Retry | Reject] | None = None,
    ) -> None:
        before = self._cursor
        assert before is not None
        handled = 0
        #: By stream: the first event that failed.
        failures: dict[str, tuple[Recorded, Retry | Reject]] = {}

        async def act(work: Work) -> None:
            nonlocal handled
            handled = 0
            failures.clear()
            if failed is not None:
                failures[failed[0].stream] = failed
            for event in events:
                if event.stream in self._held or event.stream in failures:
                    # It waits for its turn behind what failed.
                    continue
                outcome = await self._handling.turn(event, work)
                if isinstance(outcome, Done):
                    handled += 1
                else:
                    failures[event.stream] = (event, outcome)
            for stream, (event, _) in failures.items():
                work.hold(
                    HoldMark(consumer=self.durable, stream=stream, before=None, version=event.version - 1)
                )
            work.follow(CursorMark(consumer=self.durable, before=before, after=end))

        # Once more with all that is there, since at first what is not known is taken for new. Where several events meet in
        # another conflict, each tries again by itself.
        await self._running.perform(act, conflicts=MAX_CONFLICTS if len(events) <= 1 else 1)
        self._cursor = end
        self.handled += handled
        for stream, (event, outcome) in failures.items():
            held = self._held[stream] = _Held(event.version - 1, due=self._running.clock.now())
            await self._failed(held, event, outcome)

    async def _try_again(self) -> int:
        """Go on with the streams whose turn it is; return the number of events handled."""
        now, handled = self._running.clock.now(), 0
        for stream, held in [*self._held.items()]:
            if not held.buried and held.due <= now:
                done, _ = await self._catch_up(stream, held)
                handled += done
        return handled

    async def _catch_up(self, stream: str, held: _Held, actor: str = "") -> tuple[int, Outcome]:
        """Handle what the cursor has passed of a stream that is held back; return how much, and what came of the last."""
        assert self._cursor is not None
        types, done = self._follower.types, 0
        read = await self._running.store.read_stream(stream, held.version, types=types, carried=True)
        events = _upto(read, self._cursor)
        for event in events:
            last = event is events[-1]
            try:
                outcome = await self._advance(event, held.version, last, actor)
            except (StaleLeaseError, NotLeaderError, StoreUnavailableError, DuplicateDeliveryError):
                raise
            except Exception as error:
                outcome = self._handling.failure(error, event)
            if not isinstance(outcome, Done):
                await self._failed(held, event, outcome)
                return done, outcome
            held.version, held.failures, done = event.version, 0, done + 1
            self.handled += 1
        del self._held[stream]
        return done, Done()

    async def _advance(self, event: Recorded, before: int, last: bool, actor: str) -> Outcome:
        """Handle one event of a stream that is held back, by itself."""

        async def act(work: Work) -> Outcome:
            outcome = await self._handling.turn(event, work)
            if isinstance(outcome, Done):
                version = None if last else event.version
                work.hold(
                    HoldMark(consumer=self.durable, stream=event.stream, before=before, version=version)
                )
            return outcome

        return await self._running.perform(act, cause=event, actor=actor)

    async def _failed(self, held: _Held, event: Recorded, outcome: Retry | Reject) -> None:
        """Note that an event failed, and give its stream up once it has failed too often."""
        now = self._running.clock.now()
        held.failures += isinstance(outcome, Reject) or outcome.counted
        held.due = now + timedelta(seconds=outcome.after_s if isinstance(outcome, Retry) else UNWRITTEN_S)
        if held.buried or not (isinstance(outcome, Reject) or held.failures >= MAX_DELIVER):
            return
        reason = outcome.reason
        if isinstance(outcome, Retry):
            reason = f"failed {held.failures} times, at last: {reason}"
        try:
            letter = Reread(event, attempts=held.failures)
            await self._running.bus.dead_letter(letter, self.durable, reason, now)
            held.buried = True
        except BusError as error:
            # It fails again in a while, and is given up then.
            log.warning("dead_letter_failed", durable=self.durable, event_id=event.id, error=str(error))


def _place(event: Recorded) -> Cursor:
    return Cursor(xid=event.xid, position=event.position)


def _upto(events: Sequence[Recorded], cursor: Cursor) -> list[Recorded]:
    return [event for event in events if _place(event) <= cursor]
