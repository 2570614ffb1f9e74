"""Ranks lines by how much their execution goes with failure: Ochiai, and what the failures themselves point at. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import msgspec

from libs.repair.trial import Place, Result

#: What an exception's way adds to a line: the line that raised, and those that led to it.
_RAISED, _PASSED_THROUGH = 0.25, 0.1
#: What the most executed line of failing tests gets more than one that is executed once: ties fall to it.
_BUSY = 0.02
#: Of lines that are executed when a module is loaded: whichever test runs, so nothing tells them apart.
IMPORTED = 0.1
#: Of lines of which nothing is known but that they belong to a file the failing tests use.
UNKNOWN = 0.3


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One suspicious line."""

    path: str
    line: int
    score: float


def rank(
    tests: Iterable[Result],
    imported: Collection[Place] = (),
    failures: Iterable[Collection[Place]] = (),
) -> dict[Place, float]:
    """Score lines in (0, 1] from covered tests.

    Ochiai: failing tests that execute the line / sqrt(failing tests · tests that execute it) (Abreu et al., 2006).
    `failures` are further ways of exceptions, outermost line first, for example of what could not be collected. Lines
    of the tests themselves are the caller's to leave out.
    """
    failing: dict[Place, int] = {}
    passing: dict[Place, int] = {}
    hits: dict[Place, int] = {}
    ways = [tuple(way) for way in failures]
    number = 0
    for test in tests:
        failed = test.status in ("failed", "late")
        number += failed
        counted = failing if failed else passing
        for place, count in test.lines.items():
            counted[place] = counted.get(place, 0) + 1
            if failed:
                hits[place] = hits.get(place, 0) + count
        if failed and test.places:
            ways.append(test.places)
    most = math.log(1 + max(hits.values(), default=1))
    scores = dict.fromkeys(imported, IMPORTED)
    for place, count in failing.items():
        ochiai = count / math.sqrt(number * (count + passing.get(place, 0)))
        scores[place] = ochiai * (1 - _BUSY) + _BUSY * math.log(1 + hits[place]) / most
    for place, bonus in _pointed_at(ways).items():
        scores[place] = min(1.0, scores.get(place, 0.0) + bonus)
    return scores


def _pointed_at(ways: Iterable[tuple[Place, ...]]) -> dict[Place, float]:
    found: dict[Place, float] = {}
    for way in ways:
        for place in way:
            found[place] = max(found.get(place, 0.0), _PASSED_THROUGH)
        found[way[-1]] = _RAISED
    return found


def ordered(scores: Mapping[Place, float]) -> list[Ranked]:
    """List lines by falling suspicion."""
    rows = sorted(scores.items(), key=lambda row: (-row[1], row[0]))
    return [Ranked(path=path, line=line, score=round(score, 4)) for (path, line), score in rows]
