"""Reads what a patch touches without applying it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from libs.git.environment import hardened
from libs.git.error import PatchError
from libs.git.process import run

#: Seconds.
_TIMEOUT_S = 30.0


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a patch; binary files count no lines."""

    path: str
    added: int
    removed: int


async def touched_by(patch: bytes) -> tuple[Touched, ...]:
    """List the files of a patch in its order. Raises PatchError in git's own words."""
    with tempfile.TemporaryDirectory(prefix="autopilot-patch-") as scratch:
        home = Path(scratch)
        done = await run(
            ["apply", "--numstat", "-z", "-"],
            cwd=home,
            environment=hardened(home),
            timeout_s=_TIMEOUT_S,
            data=patch,
        )
    if done.code != 0:
        raise PatchError(done.stderr.strip() or f"git apply ended with {done.code}")
    found = []
    for entry in done.stdout.split(b"\0"):
        if entry:
            added, removed, path = entry.split(b"\t", 2)
            found.append(Touched(path=os.fsdecode(path), added=_count(added), removed=_count(removed)))
    return tuple(found)


def _count(field: bytes) -> int:
    return 0 if field == b"-" else int(field)
