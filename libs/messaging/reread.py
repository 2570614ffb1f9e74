"""An event that its consumer read from the record before the bus gave it out."""

from __future__ import annotations

from contracts.message import Recorded


class Reread:
    """Looks like a delivery, and settles nothing: the bus's own copy comes too and is settled then."""

    attempts = 0
    failures = 0

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded

    async def ack(self) -> None:
        """Tell nobody."""

    async def nak(self, delay_s: float = 0.0, *, failed: bool = False) -> None:
        """Tell nobody."""

    async def in_progress(self) -> None:
        """Tell nobody."""

    async def term(self) -> None:
        """Tell nobody."""
