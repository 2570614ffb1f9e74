"""One unit of work: what a handler loads, decides and sets becomes true in one append, or not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from contracts.message import Event, Meta, Recorded, key_of, stream_name
from libs.eventsourcing.decider import Decider
from libs.eventstore.store import (
    Append,
    DocumentWrite,
    Generation,
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

State = TypeVar("State")
Command = TypeVar("Command")
T = TypeVar("T")

#: Folded states kept per process; a stream that is not among them is read again.
CACHE_SIZE = 4_096


class StateCache:
    """Folded states of the streams that this process writes; only a head that still holds lets an append through."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[StreamHead, Any]] = OrderedDict()

    def get(self, stream: str) -> tuple[StreamHead, Any] | None:
        """Return the last known head and state."""
        entry = self._entries.get(stream)
        if entry:
            self._entries.move_to_end(stream)
        return entry

    def put(self, stream: str, head: StreamHead, state: Any) -> None:
        """Remember a state; the least recently used one goes."""
        self._entries[stream] = (head, state)
        self._entries.move_to_end(stream)
        if len(self._entries) > CACHE_SIZE:
            self._entries.popitem(last=False)

    def forget(self, streams: Iterable[str]) -> None:
        """Drop states that turned out to be stale."""
        for stream in streams:
            self._entries.pop(stream, None)


@dataclass
class _Loaded:
    head: StreamHead
    state: Any
    decider: Decider[Any, Any]
    events: list[NewEvent] = field(default_factory=list)


class Work:
    """What one message leads to. Handlers see `cause`, `now`, `load`, `decide`, timers and documents."""

    def __init__(
        self,
        *,
        service: str,
        store: Store,
        clock: Clock,
        ids: Ids,
        cache: StateCache,
        cause: Recorded | None = None,
        actor: str = "",
        synthetic: bool = False,
        lease: LeaseClaim | None = None,
        generation: Generation | None = None,
        running: Any = None,
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
        self._synthetic = synthetic or bool(cause and cause.meta.synthetic)
        self._streams: dict[str, _Loaded] = {}
        self._timers: dict[str, Timer] = {}
        self._cleared: dict[str, TimerClear] = {}
        self._documents: dict[tuple[str, str], DocumentWrite] = {}
        self._after: list[Callable[[], Awaitable[None]]] = []

    async def load(self, decider: Decider[Any, State], key: str) -> State:
        """Return an aggregate's state, with what this work has decided so far."""
        state: State = (await self._load(decider, key)).state
        return state

    async def decide(self, decider: Decider[Command, State], key: str, command: Command) -> list[Event]:
        """Let an aggregate decide on a command; its events become part of this work.

        Whether they are synthetic is the aggregate's own word if it has one, and that of the cause otherwise.
        """
        loaded = await self._load(decider, key)
        events = list(decider.decide(command, loaded.state))
        for event in events:
            loaded.state = decider.evolve(loaded.state, event)
            synthetic = bool(getattr(loaded.state, "synthetic", self._synthetic))
            loaded.events.append(
                NewEvent(
                    id=self._ids.new(), event=event, meta=self._meta(event, synthetic), recorded_at=self.now
                )
            )
        return events

    async def open_streams(self, category: str) -> list[str]:
        """List the keys of a category's streams that have not ended."""
        keys: list[str] = []
        after = ""
        while page := await self._store.heads(category, open_only=True, after=after):
            keys += [key_of(head.stream) for head in page]
            after = page[-1].stream
        return keys

    def set_timer(self, key: str, due: datetime, kind: str, subject: str) -> None:
        """Ask for the timer handler `kind` to be called with `subject` at `due`; the same key replaces."""
        self._cleared.pop(key, None)
        self._timers[key] = Timer(service=self.service, key=key, due=due, kind=kind, subject=subject)

    def clear_timer(self, key: str) -> None:
        """Forget a timer."""
        self._timers.pop(key, None)
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
        pending = self._documents.get((view, key))
        known = None if pending else await self._store.document(view, key)
        data = pending.data if pending else (known.data if known else None)
        after = fold(msgspec.json.decode(data, type=type_) if data is not None else None)
        before = pending.before if pending else (known.version if known else 0)
        if after is None and data is None:
            return
        self._documents[(view, key)] = DocumentWrite(
            view=view,
            key=key,
            before=before,
            data=None if after is None else msgspec.json.encode(after),
            sort="" if after is None else sort(after),
        )

    @property
    def parts(self) -> Any:
        """Return what the service assembled at its start."""
        return self.running.parts

    @property
    def sets_timers(self) -> bool:
        """Tell whether a timer is set by this work."""
        return bool(self._timers)

    def after_commit(self, action: Callable[[], Awaitable[None]]) -> None:
        """Call something once the work is true; it must be repeatable from the record if the process dies first."""
        self._after.append(action)

    async def commit(self, inbox: InboxMark | None = None) -> tuple[Recorded, ...]:
        """Append everything at once. Raises what `Store.append` raises; on a conflict nothing stays cached."""
        streams = tuple(
            StreamAppend(head=loaded.head, events=tuple(loaded.events))
            for loaded in self._streams.values()
            if loaded.events
        )
        if not (streams or inbox or self._timers or self._cleared or self._documents):
            return ()
        try:
            recorded = await self._store.append(
                Append(
                    service=self.service,
                    streams=streams,
                    inbox=inbox,
                    timers=tuple(self._timers.values()),
                    clear_timers=tuple(self._cleared.values()),
                    lease=self.lease,
                    documents=tuple(self._documents.values()),
                    generation=self._generation,
                )
            )
        except BaseException:
            self._cache.forget(self._streams)
            raise
        for event in recorded:
            loaded = self._streams[event.stream]
            ended = bool(getattr(event.event, "ends", False))
            loaded.head = StreamHead(stream=event.stream, version=event.version, hash=event.hash, ended=ended)
        for stream, loaded in self._streams.items():
            # What was only read may be older by now than what another work has put there meanwhile.
            known = self._cache.get(stream)
            if known is None or known[0].version <= loaded.head.version:
                self._cache.put(stream, loaded.head, loaded.state)
            if snapshots.is_due(loaded.head.version, len(loaded.events)):
                save = partial(snapshots.save, self._store, loaded.decider, loaded.head, loaded.state)
                self._after.append(save)
        return recorded

    async def committed(self) -> None:
        """Run what was asked for after the commit."""
        for action in self._after:
            await action()

    async def _load(self, decider: Decider[Any, Any], key: str) -> _Loaded:
        stream = stream_name(decider.category, key)
        loaded = self._streams.get(stream)
        if loaded is None:
            known = self._cache.get(stream)
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
