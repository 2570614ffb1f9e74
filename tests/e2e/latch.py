"""Holds a command of a repository inside the sandbox until the test lets it go: what else is timing is a fact here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e import till


class Latch:
    """A directory that the sandbox sees because `env` names it, and a setup command that waits for a file in it.

    The directory's name is unlike any other, so that the waiting processes can be told from all others.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True)
        self._file = place / "open"
        self.name = str(self._file)

    def repo(self) -> dict[str, Any]:
        """What a task's repository needs to be held."""
        return {
            "env": till.ENV | {"LATCH": str(self._file.parent)},
            "setup": f"until [ -e '{self.name}' ]; do sleep 0.1; done",
        }

    def open(self) -> None:
        """Let everything go on."""
        self._file.touch()
