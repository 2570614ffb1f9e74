"""One unit of work: what a handler loads, decides and sets becomes true in one append, or not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from contracts.message import Event, Meta, Recorded, key_of, stream_name
from libs.eventsourcing.decider import Decider
from libs.eventstore.store import (
    Append,
    CursorMark,
    DocumentWrite,
    Generation,
    HoldMark,
    InboxMark,
    LeaseClaim,
    NewEvent,
    Store,
    StreamAppend,
    StreamHead,
    Timer,
    TimerClear,
)
from libs.runtime import snapshots
from libs.runtime.clock import Clock, Ids
from libs.runtime.revertible import Revertible

State = TypeVar("State")
Command = TypeVar("Command")
T = TypeVar("T")

Key = TypeVar("Key")
Value = TypeVar("Value")

#: Folded states, and documents, kept per process; what is not among them is read again.
STATES, DOCUMENTS = 4_096, 1_024


class Recent(Generic[Key, Value]):
    """The entries used last; the others are dropped."""

    def __init__(self, size: int) -> None:
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._size = size

    def get(self, key: Key) -> Value | None:
        """Return an entry and count it as used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: Value) -> None:
        """Remember an entry; the least recently used one goes."""
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop entries that turned out to be stale."""
        for key in keys:
            self._entries.pop(key, None)


class Cache:
    """What this process has written, or read where it writes alone, and need not read again.

    An append is refused where it no longer holds.
    """

    def __init__(self) -> None:
        #: Head and folded state by stream.
        self.states: Recent[str, tuple[StreamHead, Any]] = Recent(STATES)
        #: Version (0 where there is none) and value by view and key.
        self.documents: Recent[tuple[str, str], tuple[int, Any]] = Recent(DOCUMENTS)


@dataclass
class _Loaded:
    head: StreamHead
    state: Any
    decider: Decider[Any, Any]
    events: list[NewEvent] = field(default_factory=list)
    #: Whether it was read, and not taken for new.
    read: bool = True


class _Folded(NamedTuple):
    before: int
    #: What the document becomes; None removes it.
    value: Any
    sort: str


def _made_of_nothing(fold: Callable[[T | None], T | None]) -> T | None:
    try:
        return fold(None)
    except Exception:
        # What cannot be made of nothing may well be made of what there is.
        return None


class Work:
    """What one or several messages lead to. Handlers see `cause`, `now`, `load`, `decide`, timers and documents."""

    def __init__(
        self,
        *,
        service: str,
        store: Store,
        clock: Clock,
        ids: Ids,
        cache: Cache,
        cause: Recorded | None = None,
        actor: str = "",
        synthetic: bool = False,
        lease: LeaseClaim | None = None,
        generation: Generation | None = None,
        running: Any = None,
        presume: bool = False,
        alone: bool = False,
    ) -> None:
        #: The running service: its configuration and assembled parts.
        self.running = running
        self.service = service
        self.cause = cause
        self.now: datetime = clock.now()
        self.lease = lease
        self._store, self._ids, self._cache = store, ids, cache
        self._generation = generation
        self._actor = actor
        self._simulated = synthetic
        #: Whether a stream that this process does not know is taken for a new one, until its append shows otherwise.
        self._presume = presume
        #: Whether nobody else writes the streams of this service.
        self._alone = alone
        self._streams: dict[str, _Loaded] = {}
        self._timers: Revertible[str, Timer] = Revertible()
        self._cleared: Revertible[str, TimerClear] = Revertible()
        self._documents: Revertible[tuple[str, str], _Folded] = Revertible()
        self._derived: Revertible[Hashable, Callable[[], Awaitable[None]]] = Revertible()
        #: Keys of streams that begin with an event of this work: documents of that name can hardly be there.
        self._begun: set[str] = set()
        self._marks: list[InboxMark] = []
        self._cursor: CursorMark | None = None
        self._holds: list[HoldMark] = []
        self._after: list[Callable[[], Awaitable[None]]] = []
        self._begin()

    def turn(self, cause: Recorded | None) -> None:
        """Go on to the next message: what follows is due to it, and `undo` takes back no more than that."""
        self.cause = cause
        if self._presume and cause is not None and cause.version == 1:
            self._begun.add(key_of(cause.stream))
        self._begin()

    def undo(self) -> None:
        """Take back what the present message has led to."""
        for stream, (state, count) in self._touched.items():
            loaded = self._streams[stream]
            loaded.state = state
            del loaded.events[count:]
            if not loaded.events:
                # It may have been taken for a new one.
                del self._streams[stream]
        for changed in (self._timers, self._cleared, self._documents, self._derived):
            changed.undo()
        del self._after[self._after_before :]
        self._begin()

    def _begin(self) -> None:
        #: State and number of events of each stream before the present message changed it.
        self._touched: dict[str, tuple[Any, int]] = {}
        for changed in (self._timers, self._cleared, self._documents, self._derived):
            changed.mark()
        self._after_before = len(self._after)

    def mark(self, mark: InboxMark) -> None:
        """Move an inbox row in the same append."""
        self._marks.append(mark)

    def follow(self, mark: CursorMark) -> None:
        """Move a follower's cursor in the same append."""
        self._cursor = mark

    def hold(self, mark: HoldMark) -> None:
        """Hold a stream back from a follower, or let it go, in the same append."""
        self._holds.append(mark)

    async def load(self, decider: Decider[Any, State], key: str) -> State:
        """Return an aggregate's state, with what this work has decided so far."""
        state: State = (await self._load(decider, key)).state
        return state

    async def decide(self, decider: Decider[Command, State], key: str, command: Command) -> list[Event]:
        """Let an aggregate decide on a command; its events become part of this work.

        Whether they are synthetic is the aggregate's own word if it has one, and that of the cause otherwise.
        """
        loaded, events = self._presumed(decider, key, command)
        if not events:
            # Silence may be due to what the stream holds already.
            loaded = await self._load(decider, key)
            events = list(decider.decide(command, loaded.state))
        self._touched.setdefault(loaded.head.stream, (loaded.state, len(loaded.events)))
        by_cause = self._simulated or bool(self.cause and self.cause.meta.synthetic)
        for event in events:
            loaded.state = decider.evolve(loaded.state, event)
            synthetic = bool(getattr(loaded.state, "synthetic", by_cause))
            loaded.events.append(
                NewEvent(
                    id=self._ids.new(), event=event, meta=self._meta(event, synthetic), recorded_at=self.now
                )
            )
        return events

    def set_timer(self, key: str, due: datetime, kind: str, subject: str) -> None:
        """Ask for the timer handler `kind` to be called with `subject` at `due`; the same key replaces."""
        self._cleared.discard(key)
        self._timers[key] = Timer(service=self.service, key=key, due=due, kind=kind, subject=subject)

    def clear_timer(self, key: str) -> None:
        """Forget a timer."""
        self._timers.discard(key)
        self._cleared[key] = TimerClear(service=self.service, key=key)

    async def document(
        self,
        view: str,
        key: str,
        type_: type[T],
        fold: Callable[[T | None], T | None],
        sort: Callable[[T], str],
    ) -> None:
        """Fold a read model's document: `fold(before)` returns what it becomes, None removes or leaves it out."""
        place = (view, key)
        pending = self._documents.get(place)
        if pending is None and key in self._begun and self._cache.documents.get(place) is None:
            made = _made_of_nothing(fold)
            if made is not None:
                # Taken for a new one, as streams are; the append names version 0 and is refused where there is one.
                self._documents[place] = _Folded(0, made, sort(made))
                return
        before, value = pending[:2] if pending else await self._document(view, key, type_)
        after = fold(value)
        if after is None and value is None:
            return
        self._documents[place] = _Folded(before, after, "" if after is None else sort(after))

    async def _document(self, view: str, key: str, type_: type[T]) -> tuple[int, T | None]:
        known = self._cache.documents.get((view, key))
        if known is None:
            stored = await self._store.document(view, key)
            known = (stored.version, msgspec.json.decode(stored.data, type=type_)) if stored else (0, None)
            self._cache.documents.put((view, key), known)
        return known

    def derive(self, name: Hashable, action: Callable[[], Awaitable[None]]) -> None:
        """Do something once just before the commit, however many messages ask for it; the last one's action counts."""
        self._derived[name] = action

    @property
    def parts(self) -> Any:
        """Return what the service assembled at its start."""
        return self.running.parts

    @property
    def first_timer(self) -> datetime | None:
        """Return when the first timer is due that this work sets; None where it sets none."""
        return min((timer.due for timer in self._timers.values()), default=None)

    def after_commit(self, action: Callable[[], Awaitable[None]]) -> None:
        """Call something once the work is true; it must be repeatable from the record if the process dies first."""
        self._after.append(action)

    async def commit(self) -> tuple[Recorded, ...]:
        """Append everything at once. Raises what `Store.append` raises; on a conflict nothing stays cached."""
        for derive in self._derived.values():
            await derive()
        streams = tuple(
            StreamAppend(head=loaded.head, events=tuple(loaded.events))
            for loaded in self._streams.values()
            if loaded.events
        )
        marks = (*self._marks, *self._holds, *((self._cursor,) if self._cursor else ()))
        if not (streams or marks or self._timers or self._cleared or self._documents):
            if self._alone:
                self._remember()
            return ()
        documents = tuple(
            DocumentWrite(
                view=view,
                key=key,
                before=folded.before,
                data=None if folded.value is None else msgspec.json.encode(folded.value),
                sort=folded.sort,
            )
            for (view, key), folded in self._documents.items()
            # Made and removed by the same work: nothing has to be written.
            if folded.before or folded.value is not None
        )
        try:
            recorded = await self._store.append(
                Append(
                    service=self.service,
                    streams=streams,
                    inbox=tuple(self._marks),
                    cursor=self._cursor,
                    holds=tuple(self._holds),
                    timers=tuple(self._timers.values()),
                    clear_timers=tuple(self._cleared.values()),
                    lease=self.lease,
                    documents=documents,
                    generation=self._generation,
                )
            )
        except BaseException:
            self._cache.states.forget(self._streams)
            self._cache.documents.forget(self._documents)
            raise
        for event in recorded:
            loaded = self._streams[event.stream]
            ended = bool(getattr(event.event, "ends", False))
            loaded.head = StreamHead(stream=event.stream, version=event.version, hash=event.hash, ended=ended)
        self._remember()
        for loaded in self._streams.values():
            if loaded.events and snapshots.is_due(
                loaded.head.version, len(loaded.events), loaded.decider.size(loaded.state)
            ):
                save = partial(snapshots.save, self._store, loaded.decider, loaded.head, loaded.state)
                self._after.append(save)
        for (view, key), (before, value, _) in self._documents.items():
            self._cache.documents.put((view, key), (0 if value is None else before + 1, value))
        return recorded

    def _remember(self) -> None:
        for stream, loaded in self._streams.items():
            if not (loaded.read or loaded.events):
                # Taken for new, and then nothing came of it.
                continue
            # What was only read may be older by now than what another work has put there meanwhile.
            known = self._cache.states.get(stream)
            if known is None or known[0].version <= loaded.head.version:
                self._cache.states.put(stream, (loaded.head, loaded.state))

    async def committed(self) -> None:
        """Run what was asked for after the commit."""
        for action in self._after:
            await action()

    def _presumed(self, decider: Decider[Any, Any], key: str, command: Any) -> tuple[_Loaded, list[Event]]:
        """Decide as if the stream were new, which spares a look: most runs and reviews are.

        The append names version 0, so a stream that exists after all is a conflict, and is read then.
        """
        stream = stream_name(decider.category, key)
        loaded = _Loaded(head=StreamHead(stream=stream), state=decider.initial, decider=decider, read=False)
        known = stream in self._streams or self._cache.states.get(stream)
        if not self._presume or known or (self.cause and self.cause.stream == stream):
            return loaded, []
        try:
            events = list(decider.decide(command, decider.initial))
        except Exception:
            # What cannot be said of a new stream may well be said of this one.
            return loaded, []
        if events:
            self._streams[stream] = loaded
        return loaded, events

    async def _load(self, decider: Decider[Any, Any], key: str) -> _Loaded:
        stream = stream_name(decider.category, key)
        loaded = self._streams.get(stream)
        if loaded is None:
            known = self._cache.states.get(stream)
            head, state = known or await snapshots.load(self._store, decider, stream)
            loaded = self._streams[stream] = _Loaded(head=head, state=state, decider=decider)
        return loaded

    def _meta(self, event: Event, synthetic: bool) -> Meta:
        return Meta(
            service=self.service,
            causation_id=self.cause.id if self.cause else "",
            correlation_id=str(getattr(event, "task_id", ""))
            or (self.cause.meta.correlation_id if self.cause else ""),
            actor=self._actor,
            traceparent=self.cause.meta.traceparent if self.cause else "",
            synthetic=synthetic,
            lease=f"{self.lease.name}:{self.lease.epoch}" if self.lease else "",
        )
