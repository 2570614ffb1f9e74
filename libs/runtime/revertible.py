"""A dictionary that can take back what was done to it since a mark."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_ABSENT = object()


class Revertible(dict[Key, Value], Generic[Key, Value]):
    """Items are set and popped; a mark costs nothing, and a way back as much as was changed.

    What is undone and set again stands at the end: nobody may rely on the order.
    """

    def __init__(self) -> None:
        super().__init__()
        #: What changed keys held at the mark.
        self._before: dict[Key, object] = {}

    def mark(self) -> None:
        """Keep what was done so far."""
        self._before.clear()

    def undo(self) -> None:
        """Go back to the mark."""
        for key, value in self._before.items():
            if value is _ABSENT:
                super().pop(key, None)
            else:
                super().__setitem__(key, value)  # type: ignore[assignment]
        self._before.clear()

    def __setitem__(self, key: Key, value: Value) -> None:
        self._before.setdefault(key, self.get(key, _ABSENT))
        super().__setitem__(key, value)

    def discard(self, key: Key) -> None:
        """Remove an item, if it is there."""
        if key in self:
            self._before.setdefault(key, self[key])
            del self[key]
