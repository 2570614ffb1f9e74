"""The named statements of `queries.sql`."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def load(path: Path) -> dict[str, str]:
    """Read a file of blocks, each under its `-- name --` line. Raises ValueError where a name comes twice."""
    _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
    names = parts[::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name} has two blocks of one name")
    return dict(zip(names, (text.strip() for text in parts[1::2]), strict=True))


queries = load(Path(__file__).with_name("queries.sql"))
