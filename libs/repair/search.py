"""Searches for a change that lets the failing tests pass and keeps all others passing."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import structlog

from libs.repair.attempt import attempt
from libs.repair.bench import Bench
from libs.repair.candidate import Candidate
from libs.repair.change import Change, Tried, Verdict, best_first, steps
from libs.repair.learning import Lesson
from libs.repair.trial import Place

#: `candidates` of libs.repair.edits.
Edits = Callable[..., Iterator[Candidate]]

#: Candidates that are made at once, in a thread.
_BATCH = 8
#: After the first survivor the search goes on for this share of the time it took, and at least so many seconds, to
#: learn whether others would do as well.
_MORE_SHARE, _MORE_S = 0.15, 1.0
#: Share of the time after which single edits give way to second ones, if there is something to build on.
_SINGLE_SHARE = 0.65
#: Share of the time after which special cases get their turn, if they are known.
_GENERAL_SHARE = 0.9
#: Changes that second edits are tried on top of.
_STEPS = 8
#: How much longer tests are waited for when what was late is tried again.
_PATIENCE = 6.0

_log = structlog.get_logger(__name__)


class Search:
    """One search; its results are what it has tried, by number in the order of trying."""

    def __init__(
        self,
        benches: list[Bench],
        lesson: Lesson,
        sources: Mapping[str, str],
        edits: Edits,
        *,
        seed: int,
        until: float,
        memory_mb: int,
        refused: Callable[[Change], bool],
        trials: int | None = None,
    ) -> None:
        self._benches = benches
        self._lesson = lesson
        self._sources = dict(sources)
        self._edits = edits
        self._seed = seed
        #: On the clock of `time.monotonic`.
        self._until = until
        self._memory_mb = memory_mb
        self._refused = refused
        self._trials = trials
        self._began = time.monotonic()
        self.tried: dict[int, Tried] = {}

    @property
    def survivors(self) -> list[Tried]:
        """Changes that every command accepts and that were not refused before, the best first."""
        return best_first(
            [one for one in self.tried.values() if one.verdict.survives and not self._refused(one.change)]
        )

    async def run(self) -> None:
        """Try single edits, then those that ran out of time once more, then second edits; special cases last of all."""
        left = self._until - time.monotonic()
        soon, end = time.monotonic() + _SINGLE_SHARE * left, time.monotonic() + _GENERAL_SHARE * left
        singles = self._made(self._sources, self._lesson.scores)
        special: list[Candidate] = []
        all_tried = await self._try(_general(singles, special), lambda: soon if steps(self.tried, 1) else end)
        late = [one.change for one in self.tried.values() if one.verdict.late]
        if all_tried and late and not self.survivors:
            _log.info("repair_patience", late=len(late))
            await self._try(iter(late), lambda: end, patience=_PATIENCE)
        if not self.survivors:
            await self._try(self._seconds(), lambda: end)
        if special and not self.survivors:
            rest = (Change(edits=(edit,)) for edit in itertools.chain(special, singles) if edit.special_case)
            await self._try(rest, lambda: self._until)

    def _made(self, sources: Mapping[str, str], scores: Mapping[Place, float]) -> Iterator[Candidate]:
        return self._edits(sources, scores, seed=self._seed)

    def _seconds(self) -> Iterator[Change]:
        """Second edits on top of the best partial changes, one of each in turn."""
        texts = {edit.source for one in self.tried.values() for edit in one.change.edits}
        streams = [self._on_top(one) for one in steps(self.tried, _STEPS)]
        while streams:
            for stream in list(streams):
                change = next(stream, None)
                if change is None:
                    streams.remove(stream)
                elif change.edits[1].source not in texts:
                    texts.add(change.edits[1].source)
                    yield change

    def _on_top(self, first: Tried) -> Iterator[Change]:
        (edit,) = first.change.edits
        grown = edit.source.count("\n") - self._sources[edit.path].count("\n")
        scores = {
            (path, line + grown if path == edit.path and line > edit.line else line): score
            for (path, line), score in self._lesson.scores.items()
        }
        yield from (
            Change(edits=(edit, change.edits[0]))
            for change in _general(self._made({**self._sources, edit.path: edit.source}, scores), [])
        )

    async def _try(
        self, changes: Iterator[Change], until: Callable[[], float], patience: float = 1.0
    ) -> bool:
        """Try changes in their order on all benches until there are no more; False if time ended it.

        What was begun is finished, so that everything before the last one tried was tried: which worker is faster
        decides nothing about the choice.
        """
        queue = _Queue(itertools.islice(changes, self._trials), len(self.tried), self._until)
        found: list[float] = []

        async def work(bench: Bench) -> bool:
            while True:
                now = time.monotonic()
                if now > min(until(), self._until, *found):
                    return False
                number, change = await queue.take()
                if change is None:
                    return True
                verdict = await self._attempt(bench, change, patience)
                self.tried[number] = Tried(number=number, change=change, verdict=verdict)
                if verdict.survives and not self._refused(change) and not found:
                    spent = time.monotonic() - self._began
                    found.append(time.monotonic() + max(_MORE_S, _MORE_SHARE * spent))
                if len(self.tried) % 200 == 0:
                    _log.info("repair_progress", tried=len(self.tried))

        tasks = [asyncio.ensure_future(work(bench)) for bench in self._benches]
        try:
            return all(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _attempt(self, bench: Bench, change: Change, patience: float) -> Verdict:
        return await attempt(bench, self._lesson, change, self._memory_mb, patience)


def _general(edits: Iterator[Candidate], special: list[Candidate]) -> Iterator[Change]:
    """Take edits as long as they generalise; the first that does not is put aside, and all that follow are like it."""
    for edit in edits:
        if edit.special_case:
            special.append(edit)
            return
        yield Change(edits=(edit,))


class _Queue:
    """Hands changes out in their order; they are made in a thread, some ahead."""

    def __init__(self, changes: Iterator[Change], number: int, until: float) -> None:
        self._changes, self._until = changes, until
        self._numbers = itertools.count(number)
        self._ready: deque[Change] = deque()
        self._lock = asyncio.Lock()

    async def take(self) -> tuple[int, Change | None]:
        async with self._lock:
            if not self._ready:
                try:
                    async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                        self._ready.extend(await asyncio.to_thread(self._make))
                except TimeoutError:
                    # Making the next ones takes longer than there is time: the search ends all the same.
                    _log.warning("repair_out_of_time_for_edits")
            if not self._ready:
                return -1, None
            return next(self._numbers), self._ready.popleft()

    def _make(self) -> list[Change]:
        return list(itertools.islice(self._changes, _BATCH))
