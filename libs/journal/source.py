"""What a verification reads: a record with its checkpoints, from Postgres or from an exported file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

import msgspec

from libs.eventstore.row import Row
from libs.eventstore.store import StreamHead

#: Number and line.
Entry: TypeAlias = "tuple[int, str]"


class Kept(msgspec.Struct, frozen=True):
    """An event with the column that is derived from another."""

    row: Row
    category: str


class KeptHead(msgspec.Struct, frozen=True):
    """Where a stream stands, likewise."""

    head: StreamHead
    category: str


class Source(Protocol):
    """One state of a record: all three are of the same moment."""

    def checkpoints(self) -> AsyncIterator[Entry]:
        """Read the checkpoints by number."""
        ...

    def events(self) -> AsyncIterator[Kept]:
        """Read the events by position."""
        ...

    def streams(self) -> AsyncIterator[KeptHead]:
        """Read where the streams stand, by name in the order of its bytes."""
        ...
