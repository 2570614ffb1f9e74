"""Ids that a test can foresee."""

from __future__ import annotations

import uuid


class CountedIds:
    """UUIDs in a fixed sequence."""

    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        """Return the next UUID."""
        self._count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(self._count)))
