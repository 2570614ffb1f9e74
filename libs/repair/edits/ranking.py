"""Which edit comes next: a heap of promises.

The heap holds, with the least that anything behind it can cost: statements not yet looked at, kinds of edit not yet
tried on a statement, and edits. What is taken from it with the lowest cost is either an edit, and the next candidate, or
gives way to what it promised. So a large file is read only as far as its candidates are wanted.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from libs.repair.candidate import Candidate
from libs.repair.edits.acceptance import Unit, fingerprint
from libs.repair.edits.families import OPERATORS
from libs.repair.edits.kinds import COST, Kind
from libs.repair.edits.module import Module
from libs.repair.edits.site import Edit, Site, sites
from libs.repair.edits.special import special_case

#: A line of suspicion s costs -SUSPICION·ln s: how much a suspicious line is preferred to a likely kind.
SUSPICION = 1.5
#: The k-th edit of a statement costs CROWDING·ln(1 + k) more: so that one hot line does not starve the others.
CROWDING = 0.4
#: Suspicions below this count as this: a line that failing tests execute is never out of reach.
FLOOR = 0.02
#: Edits of one kind on one statement.
MOST = 2_000
#: What an answer to the tested inputs costs more than anything else.
SPECIAL = 1000.0


class _Proposal(NamedTuple):
    cost: float
    site: Site
    kind: Kind
    edit: Edit


class _Statement:
    """Edits of one statement by cost, found out as they are wanted."""

    def __init__(self, site: Site, cost: float, tie: random.Random) -> None:
        self.site = site
        self.given = 0
        self._tie = tie
        self._heap: list[tuple[float, float, int, Kind, Edit | None]] = []
        self._count = itertools.count()
        self._base = cost
        for kind in OPERATORS:
            self._push(COST[kind], kind, None)

    def _push(self, cost: float, kind: Kind, edit: Edit | None) -> None:
        # Ties fall to the seed, then to the order of discovery.
        heapq.heappush(self._heap, (self._base + cost, self._tie.random(), next(self._count), kind, edit))

    def promise(self) -> float:
        """The least that the next edit costs; infinite when there is none."""
        return self._heap[0][0] + CROWDING * math.log1p(self.given) if self._heap else math.inf

    def take(self) -> _Proposal | None:
        """The next edit, or None if it had to be looked for and `promise` is to be asked again."""
        cost, _, _, kind, edit = heapq.heappop(self._heap)
        if edit is not None:
            crowded = cost + CROWDING * math.log1p(self.given)
            self.given += 1
            return _Proposal(crowded, self.site, kind, edit)
        for found in itertools.islice(OPERATORS[kind](self.site), MOST):
            reason = found.special_case or special_case(self.site, found)
            found = found._replace(special_case=reason)
            self._push(COST[kind] + found.surprise + (SPECIAL if reason else 0.0), kind, found)
        return None


def candidates(
    sources: Mapping[str, str], suspicion: Mapping[tuple[str, int], float], *, seed: int = 0
) -> Iterator[Candidate]:
    """Edits of the suspicious lines as whole new texts, each syntax tree once, in order of increasing cost.

    `sources`: path to text of each Python file that may be edited; a text that is no Python has no edits. `suspicion`:
    path and line (from 1) to the Ochiai score in [0, 1] of a line that failing tests execute; other lines stay as they
    are. What answers to the tested inputs alone comes last. Lazy; equal arguments give equal candidates, and `seed`
    decides only between equal costs.
    """
    tie = random.Random(seed)  # noqa: S311 (it breaks ties and guards nothing)
    modules = {
        path: module for path, text in sorted(sources.items()) if (module := _module(path, text)) is not None
    }
    heap: list[tuple[float, float, int, _Statement | Site]] = []
    order = itertools.count()
    cheapest = min(COST[kind] for kind in OPERATORS)
    for module in modules.values():
        for site in sites(module):
            score = site.suspicion(suspicion)
            if score > 0:
                cost = -SUSPICION * math.log(min(1.0, max(score, FLOOR)))
                heapq.heappush(heap, (cost + cheapest, tie.random(), next(order), site))
    seen = _Seen()
    while heap:
        least, _, _, entry = heapq.heappop(heap)
        if isinstance(entry, Site):
            statement = _Statement(entry, least - cheapest, tie)
        else:
            statement = entry
            proposal = statement.take()
            candidate = _candidate(proposal, seen) if proposal is not None else None
            if candidate is not None:
                yield candidate
        if (promise := statement.promise()) < math.inf:
            heapq.heappush(heap, (promise, tie.random(), next(order), statement))


def _module(path: str, text: str) -> Module | None:
    try:
        return Module(path, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Seen:
    """Texts and syntax trees that the search has had, the original ones from the beginning."""

    def __init__(self) -> None:
        self._texts: set[tuple[str, bytes]] = set()
        self._trees: dict[tuple[str, Unit], set[bytes]] = {}

    def is_new(self, site: Site, text: str) -> bool:
        """Whether a text of the site's file compiles and has a syntax tree of its own."""
        unit, path = site.unit, site.module.path
        part = text[unit.start : unit.end + len(text) - len(site.source.text)]
        key = (
            path,
            hashlib.blake2b(f"{unit.start} {part}".encode("utf-8", "surrogatepass"), digest_size=16).digest(),
        )
        if key in self._texts:
            return False
        self._texts.add(key)
        if (path, unit) not in self._trees:
            original = self._digest(site, site.source.text[unit.start : unit.end])
            self._trees[path, unit] = {original} if original is not None else set()
        digest = self._digest(site, part)
        if digest is None or digest in self._trees[path, unit]:
            return False
        self._trees[path, unit].add(digest)
        return True

    def _digest(self, site: Site, part: str) -> bytes | None:
        return fingerprint(part, indented=site.unit.indented, flags=site.module.flags)


def _candidate(proposal: _Proposal, seen: _Seen) -> Candidate | None:
    """The whole new text; None if it does not compile or was had before."""
    cost, site, kind, edit = proposal
    unit = site.unit
    if any(not unit.start <= change.start <= change.end <= unit.end for change in edit.changes):
        return None
    text = site.source.applied(edit.changes)
    if not seen.is_new(site, text):
        return None
    line = site.source.line_at(min(change.start for change in edit.changes))
    return Candidate(
        path=site.module.path,
        source=text,
        line=line,
        edit=kind.value,
        description=f"{edit.description} in line {line}",
        cost=cost,
        special_case=edit.special_case,
    )
