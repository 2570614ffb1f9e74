"""What happened in a run, line by line, and the hash of it by which two runs are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """The lines of one run."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._hash = hashlib.blake2b(digest_size=12)
        self.lines: list[str] = []

    def tell(self, who: str, what: str) -> None:
        """Add a line."""
        line = f"{self._time():11.6f} {who:<16} {what}"
        self.lines.append(line)
        self._hash.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        """Return the hash of all lines so far."""
        return self._hash.hexdigest()
