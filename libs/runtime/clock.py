"""Time and ids, as ports: the core never reads a clock."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


class Ids(Protocol):
    """Makes unique ids."""

    def new(self) -> str:
        """Return a new UUID."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


class RandomIds:
    """Random UUIDs."""

    def new(self) -> str:
        """Return a new UUID."""
        return str(uuid.uuid4())
