"""NATS subjects: what a filter with wildcards takes, and whether two filters meet."""

from __future__ import annotations

from collections.abc import Iterable


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a subject without wildcards is taken by a pattern (`*` one token, `>` one or more)."""
    return covers(pattern, subject)


def covers(general: str, special: str) -> bool:
    """Tell whether everything that `special` takes is also taken by `general`."""
    wide, narrow = general.split("."), special.split(".")
    for place, token in enumerate(wide):
        if token == ">":  # noqa: S105
            return len(narrow) > place
        if len(narrow) <= place or narrow[place] == ">":
            return False
        if token not in ("*", narrow[place]):
            return False
    return len(wide) == len(narrow)


def overlap(one: str, other: str) -> bool:
    """Tell whether some subject is taken by both patterns."""
    left, right = one.split("."), other.split(".")
    for mine, theirs in zip(left, right, strict=False):
        if ">" in (mine, theirs):
            return True
        if mine != theirs and "*" not in (mine, theirs):
            return False
    return len(left) == len(right)


def reduced(patterns: Iterable[str]) -> tuple[str, ...]:
    """Leave out patterns that another one covers: the server refuses a consumer whose filters overlap."""
    known = sorted(set(patterns))
    return tuple(
        pattern
        for pattern in known
        if not any(other != pattern and covers(other, pattern) for other in known)
    )
