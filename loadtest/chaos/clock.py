"""A clock that jumps: that of the services, while Postgres and the bus keep theirs.

Needs libfaketime, Debian's (`apt install libfaketime`) or PyPI's (`pip install libfaketime`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from loadtest.chaos.arena import Arena, until
from loadtest.chaos.case import Fault, Harm
from loadtest.chaos.load import BUSY, Load

#: Seconds by which the clock jumps, for good. Backwards no further than the checker lets a timer be late and still.
FORWARD_S, BACK_S = 3_600, -15
_OFFSET = "clock"
_NAME = "libfaketime.so.1"


def library() -> Path | None:
    """Find libfaketime."""
    places = list(Path("/usr/lib").glob(f"*/faketime/{_NAME}"))
    if found := importlib.util.find_spec("libfaketime"):
        for folder in found.submodule_search_locations or ():
            places += Path(folder).rglob(_NAME)
    return next(iter(places), None)


def missing() -> str:
    """Tell why no clock can be made to jump here; empty where one can."""
    if library() is None:
        return "needs libfaketime, which is not installed"
    split = any(mark in tempfile.gettempdir() for mark in " :")
    return "the loader splits a path at blanks and colons: set TMPDIR to one without" if split else ""


@contextlib.contextmanager
def own_clock(data_dir: Path) -> Iterator[None]:
    """Give the services a clock that `jump` can move."""
    found = library()
    assert found is not None, "such a case is impossible without libfaketime"
    # Wherever the library is installed, its path here has no blank at which the loader would split it.
    (data_dir.parent / _NAME).symlink_to(found)
    (data_dir.parent / _OFFSET).write_text("+0", encoding="ascii")
    yield


def environment(data_dir: Path) -> dict[str, str]:
    """What a service needs in its environment to go by that clock; nothing where there is none."""
    offset = data_dir.parent / _OFFSET
    if not offset.exists():
        return {}
    return {
        "LD_PRELOAD": str(data_dir.parent / _NAME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        # A jump of the wall clock moves no other: that is what makes it hard to notice.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def jump(seconds: int) -> Harm:
    """Move the clock of all services, for good. Their events then tell no recovery: it would be told by that clock."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        load.keep_at_least(BUSY)
        at, (before,) = time.time(), arena.ask("select max(position) as position from events")
        (arena.config.data_dir.parent / _OFFSET).write_text(f"{seconds:+d}", encoding="ascii")
        moved = (
            "select from events where position > $1"
            " and extract(epoch from recorded_at - to_timestamp($2))::float8 * sign($3::float8) > abs($3::float8) / 2"
        )
        until(
            lambda: arena.ask(moved, before["position"], at, float(seconds)) or None,
            "the services' clock jumps",
        )
        return []

    return harm
