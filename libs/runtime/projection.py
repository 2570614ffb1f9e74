"""A read model as a value, and the folding of many events into a generation of its documents."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from contracts.message import Recorded
from libs.eventstore.store import (
    Append,
    ConflictError,
    DocumentWrite,
    Generation,
    LeaseClaim,
    Store,
    StoreUnavailableError,
)

T = TypeVar("T")

#: Folded documents kept in memory; one that is not among them is read again.
KEPT = 1_024
#: Seconds that an append should take: until it has ended, no reader of the record sees what comes after it.
APPEND_S = 0.1
#: Events folded into one append: at first, and between these bounds later.
FIRST_CHUNK, SMALLEST_CHUNK, LARGEST_CHUNK = 100, 10, 1_000
#: Events folded before others get their turn in this process.
TURN = 16
#: How often an append is tried whose outcome is unknown, and the seconds before each.
TRIES, AGAIN_S = 30, 1.0


class Documents(Protocol):
    """What a projection's handler needs: documents to fold into."""

    async def document(
        self,
        view: str,
        key: str,
        type_: type[T],
        fold: Callable[[T | None], T | None],
        sort: Callable[[T], str],
    ) -> None:
        """Fold a document: `fold(before)` returns what it becomes, None removes or leaves it out."""
        ...

    def derive(self, name: Hashable, action: Callable[[], Awaitable[None]]) -> None:
        """Do something once just before the documents are written; of several actions of a name the last one counts."""
        ...


@dataclass(frozen=True)
class Projection:
    """A service's read model: the documents into which one handler folds every event.

    The handler is one of the service's consumers, of everything. What it makes of a task must not depend on how the
    task's streams come in against each other.
    """

    #: Raised whenever the handler makes other documents of the same events: they are built anew at the next start.
    version: int
    #: Every view it writes.
    views: tuple[str, ...]
    fold: Callable[[Recorded, Documents], Awaitable[None]]


class Folding:
    """Folds events into a generation that nobody reads yet, many of them in one append."""

    def __init__(
        self, store: Store, service: str, lease: LeaseClaim, projection: Projection, number: int
    ) -> None:
        self._store, self._service, self._lease, self._projection = store, service, lease, projection
        self._generation = Generation(projection=service, number=number, building=True)
        #: Version and value of documents, the ones used last.
        self._known: OrderedDict[tuple[str, str], tuple[int, Any]] = OrderedDict()
        #: What the next append writes: the documents as they are now, with their places in lists.
        self._changed: dict[tuple[str, str], tuple[Any, str]] = {}
        self._derived: dict[Hashable, Callable[[], Awaitable[None]]] = {}
        #: Hashes of the places that were ever written: what is not among them need not be looked for.
        self._written: set[int] = set()
        self._chunk, self._waiting = FIRST_CHUNK, 0
        #: How many events have been folded.
        self.events = 0
        #: Documents that were written since somebody emptied it.
        self.touched: set[tuple[str, str]] = set()

    @property
    def number(self) -> int:
        """Return the number of the generation."""
        return self._generation.number

    async def take(self, recorded: Recorded) -> None:
        """Fold one event. Raises what the projection's handler raises."""
        await self._projection.fold(recorded, self)
        self.events += 1
        self._waiting += 1
        if self.events % TURN == 0:
            await asyncio.sleep(0)
        if self._waiting >= self._chunk:
            await self.flush()

    async def document(
        self,
        view: str,
        key: str,
        type_: type[T],
        fold: Callable[[T | None], T | None],
        sort: Callable[[T], str],
    ) -> None:
        """Fold a document."""
        place = (view, key)
        before = self._changed[place][0] if place in self._changed else (await self._load(place, type_))[1]
        after = fold(before)
        if after is not None or before is not None:
            self._changed[place] = (after, "" if after is None else sort(after))

    def derive(self, name: Hashable, action: Callable[[], Awaitable[None]]) -> None:
        """Do something once just before the next append."""
        self._derived[name] = action

    async def flush(self) -> None:
        """Write what was folded. Raises StaleLeaseError, StoreUnavailableError, and what derived actions raise."""
        for derive in self._derived.values():
            await derive()
        self._derived.clear()
        writes = []
        for (view, key), (value, sort) in self._changed.items():
            before = self._known[(view, key)][0]
            if before or value is not None:
                data = None if value is None else msgspec.json.encode(value)
                writes.append(DocumentWrite(view=view, key=key, before=before, data=data, sort=sort))
        if writes:
            loop = asyncio.get_running_loop()
            started = loop.time()
            await self._append(
                Append(
                    service=self._service,
                    lease=self._lease,
                    documents=tuple(writes),
                    generation=self._generation,
                )
            )
            took = max(loop.time() - started, 0.001)
            fitting = min(int(self._waiting * APPEND_S / took), 2 * self._chunk)
            self._chunk = max(SMALLEST_CHUNK, min(fitting, LARGEST_CHUNK))
        for write in writes:
            place = (write.view, write.key)
            value = self._changed[place][0]
            self._known[place] = (0 if value is None else write.before + 1, value)
            self._written.add(hash(place))
            self.touched.add(place)
        self._changed.clear()
        self._waiting = 0
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    async def _append(self, append: Append) -> None:
        """Append, again and again where the outcome is unknown."""
        for remaining in range(TRIES, -1, -1):
            try:
                await self._store.append(append)
                return
            except StoreUnavailableError:
                if not remaining:
                    raise
                await asyncio.sleep(AGAIN_S)
            except ConflictError:
                # Nobody else writes this generation: an earlier try has got through.
                if remaining == TRIES:
                    raise
                return

    async def _load(self, place: tuple[str, str], type_: type[T]) -> tuple[int, T | None]:
        known = self._known.get(place)
        if known is None:
            known = (0, None)
            if hash(place) in self._written:
                stored = await self._store.document(*place, generation=self.number)
                if stored is not None:
                    known = (stored.version, msgspec.json.decode(stored.data, type=type_))
            self._known[place] = known
        self._known.move_to_end(place)
        return known
