"""An event that its consumer read from the record."""

from __future__ import annotations

from contracts.message import Recorded


class Reread:
    """Looks like a delivery, and settles nothing: where the bus has a copy for the consumer, that comes too."""

    failures = 0

    def __init__(self, recorded: Recorded, *, attempts: int = 0) -> None:
        self.recorded, self.attempts = recorded, attempts

    async def ack(self) -> None:
        """Tell nobody."""

    async def nak(self, delay_s: float = 0.0, *, failed: bool = False) -> None:
        """Tell nobody."""

    async def in_progress(self) -> None:
        """Tell nobody."""

    async def term(self) -> None:
        """Tell nobody."""
