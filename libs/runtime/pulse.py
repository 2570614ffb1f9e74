"""The pulse of a process that leads: what the record says with each renewal of the lease, for all that wait for work.

While nothing happens nobody else asks the record anything: whoever looked and found nothing waits until a beat says that
there is something. A beat cannot be lost as a notification can, and costs no statement of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from libs.eventstore.store import Beat, Cursor


class Pulse:
    """Passes beats on. Without a lease there is none, and whoever waits has nothing to decide either."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Beat], None]] = []
        self._next = asyncio.Event()
        #: Place of the last event in the record as the last beat told; None before the first.
        self.end: Cursor | None = None

    def listen(self, listener: Callable[[Beat], None]) -> None:
        """Have something called with every beat from now on."""
        self._listeners.append(listener)

    def take(self, beat: Beat) -> None:
        """Take a beat."""
        self.end = beat.end
        self._next.set()
        self._next = asyncio.Event()
        for listener in self._listeners:
            listener(beat)

    def has_news(self, behind: Cursor) -> bool:
        """Tell whether something lies behind a place in the record, as far as is known; before the first beat it may."""
        return self.end is None or self.end > behind

    async def news(self, behind: Cursor | None) -> None:
        """Wait until something lies behind a place in the record; for one beat where the place is not known.

        Before the first beat nothing is waited for: then nobody knows.
        """
        if behind is None and self.end is not None:
            await self._next.wait()
        while behind is not None and not self.has_news(behind):
            await self._next.wait()
