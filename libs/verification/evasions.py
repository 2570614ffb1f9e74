"""Reads added code for reaches at the process, the interpreter, the test runner, or the tests themselves.

Only what a change adds is looked at: what a file, or another file of the same change, did on the base already is
its own business, and words in comments and docstrings never count. What is rejected is what an honest change
practically never adds; this is a second line behind the control runs, which look at behaviour and not at words.
"""

from __future__ import annotations

from collections import Counter

from libs.verification.reading import Reader, Surrounding
from libs.verification.syntax import parse
from libs.verification.types import UnreadableError

#: Larger files are not read, and so not accepted as code.
MAX_BYTES = 1 << 20
_NOTHING = Surrounding()


def evasions(before: bytes | None, after: bytes, around: Surrounding = _NOTHING) -> tuple[str, ...]:
    """Describe each reach that a Python file has gained. Raises `UnreadableError` for what cannot be read."""
    found = reaches(after, around)
    try:
        earlier = reaches(before or b"", around)
    except UnreadableError:
        earlier = Counter()
    return gained(earlier, found)


def gained(earlier: Counter[str], found: Counter[str]) -> tuple[str, ...]:
    """List what is there more often than it was; a name that was used at all may be used again."""
    return tuple(
        sorted(
            reach
            for reach, count in found.items()
            if count > earlier[reach] and not (earlier[reach] and reach.startswith("uses"))
        )
    )


def reaches(source: bytes, around: Surrounding) -> Counter[str]:
    """Count every reach of a file. Raises `UnreadableError`."""
    if len(source) > MAX_BYTES:
        raise UnreadableError("is too large to be read")
    reader = Reader(around)
    try:
        reader.visit(parse(source))
    except (RecursionError, MemoryError):
        raise UnreadableError("is nested too deeply to be read") from None
    except (SyntaxError, ValueError):
        raise UnreadableError("is no Python that could be read") from None
    return reader.found
