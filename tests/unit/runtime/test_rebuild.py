"""Rebuilding a read model while it is read and written: old or new, each event once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from contracts.message import Recorded
from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import Cursor, StoreUnavailableError, Switch
from libs.runtime import rebuild
from libs.runtime.projection import Documents, Folding, Projection
from libs.runtime.rebuild import Job, Rebuilder
from libs.runtime.service import Follower
from tests.unit.runtime.house import Aside, House

VIEWS = ("count", "last")
#: Streams whose events cannot be folded at the moment.
TROUBLE: set[str] = set()


async def count(recorded: Recorded, into: Documents) -> None:
    """Count the events of each stream; the last position of all but one."""
    if recorded.stream in TROUBLE:
        raise ValueError("of no use")
    await into.document("count", recorded.stream, int, lambda n: (n or 0) + 1, lambda n: f"{n:04}")
    await into.document("last", recorded.stream, int, lambda _: recorded.version, lambda _: "")


class Library(House):
    """A house that keeps a read model of the visitor's news."""

    def __init__(self, version: int = 1, fold: Any = count) -> None:
        self.projection = Projection(version=version, views=VIEWS, fold=fold)
        super().__init__(Follower(fold, everything=True), projection=self.projection)
        self.jobs: list[asyncio.Task[None]] = []

    @property
    def rebuilder(self) -> Rebuilder:
        assert self.running.rebuilder is not None
        return self.running.rebuilder

    async def open(self) -> None:
        """Take the lead as the runner does; the rebuilder works in the background from now on."""
        await self.lead()
        self.kept = self.following()
        await self.rebuilder.open([self.kept])
        self.jobs.append(asyncio.create_task(self.rebuilder.run()))

    async def restart(self, version: int = 1, fold: Any = count) -> None:
        """Die and come back, perhaps as another release."""
        await self.close()
        self.projection = Projection(version=version, views=VIEWS, fold=fold)
        followers = (Follower(fold, everything=True),)
        self.service = replace(self.service, follows=followers, projection=self.projection)
        self.running = self.process("keeper-1")
        await self.open()

    async def close(self) -> None:
        for job in self.jobs:
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job
        self.jobs.clear()

    async def consume(self) -> None:
        """Handle what is recorded, and what was put off."""
        self.clock.advance(6)
        while await self.kept.step():
            pass

    async def finished(self, kind: rebuild.Kind = "rebuild") -> Job:
        """Ask for a job and wait for its end."""
        job = self.rebuilder.ask(kind)
        assert job is not None
        return await over(job)

    async def read(self, view: str = "count") -> dict[str, int]:
        """What a reader sees."""
        found = await self.store.documents(view, limit=1_000)
        return {one.key: msgspec.json.decode(one.data) for one in found}

    async def truth(self) -> dict[str, int]:
        """What the record says."""
        events = await self.store.read_all(Cursor(), limit=100_000)
        return {event.stream: event.version for event in events}


async def over(job: Job) -> Job:
    async with asyncio.timeout(60):
        while not job.over:
            await asyncio.sleep(0)
    return job


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "AGAIN_S", 0.0)


@pytest.fixture
async def library() -> AsyncIterator[Library]:
    made = Library()
    await made.open()
    yield made
    await made.close()


def news(streams: int, events: int) -> list[Aside]:
    return [Aside(case_id=f"s{n}") for _ in range(events) for n in range(streams)]


async def test_a_rebuild_gives_the_same_documents_under_another_number(library: Library) -> None:
    await library.news(*news(5, 4))
    await library.consume()
    before = await library.read()
    assert (await library.finished()).state == "done"
    assert library.rebuilder.generation is not None
    assert library.rebuilder.generation.number == 1
    assert await library.read() == before == await library.truth()
    assert await library.store.generations(VIEWS) == [1]


async def test_the_consumer_goes_on_where_the_rebuild_has_ended(library: Library) -> None:
    await library.news(*news(3, 2))
    await library.consume()
    # The consumer has not seen these when the rebuild folds them.
    await library.news(*news(4, 3))
    assert (await library.finished()).state == "done"
    assert await library.read() == await library.truth()
    await library.consume()
    await library.news(*news(4, 1))
    await library.consume()
    assert await library.read() == await library.read("last") == await library.truth()


async def test_readers_see_the_old_or_the_new_and_nothing_else(library: Library) -> None:
    await library.news(*news(4, 3))
    await library.consume()
    whole = await library.read()
    job = library.rebuilder.ask("rebuild")
    assert job is not None
    while not job.over:
        assert await library.read() == whole
        await asyncio.sleep(0)


async def test_events_that_arrive_during_rebuilds_are_folded_once_each(library: Library) -> None:
    done = asyncio.Event()

    async def arrive() -> None:
        for _ in range(60):
            await library.news(*news(3, 1))
            await asyncio.sleep(0)
        done.set()

    async def live() -> None:
        while not (done.is_set() and await library.kept.step() == 0):
            await asyncio.sleep(0)

    async def again() -> int:
        rebuilt = 0
        while not done.is_set():
            rebuilt += (await library.finished()).state == "done"
        return rebuilt

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(arrive())
        group.create_task(live())
        rebuilt = group.create_task(again())
    assert rebuilt.result() >= 2
    await library.consume()
    assert await library.read() == await library.truth()


async def test_a_handler_in_the_middle_of_its_work_folds_into_what_is_read_then() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(recorded: Recorded, into: Documents) -> None:
        await count(recorded, into)
        if recorded.version == 2 and not leave.is_set() and not isinstance(into, Folding):
            entered.set()
            await leave.wait()

    library = Library(fold=slow)
    await library.open()
    await library.news(*news(1, 2))
    consuming = asyncio.create_task(library.consume())
    await entered.wait()
    assert (await library.finished()).state == "done"
    leave.set()
    await consuming
    await library.consume()
    await library.news(*news(1, 1))
    await library.consume()
    assert await library.read() == await library.truth() == {"side-s0": 3}
    await library.close()


class Flaky(MemoryStore):
    """Dies, or loses the answer, at the nth call that changes something."""

    def arm(self, at: int, error: BaseException, *, after: bool) -> None:
        self.at, self.error, self.after = at, error, after

    async def _pass(self, act: Callable[[], Awaitable[Any]]) -> Any:
        self.at = getattr(self, "at", 0) - 1
        if self.at == 0 and not self.after:
            raise self.error
        result = await act()
        if self.at == 0:
            raise self.error
        return result

    async def append(self, append: Any) -> Any:
        return await self._pass(lambda: super(Flaky, self).append(append))

    async def switch(self, switch: Switch) -> None:
        await self._pass(lambda: super(Flaky, self).switch(switch))

    async def discard(self, views: Any, generation: int, *, most: int = 200) -> int:
        return int(await self._pass(lambda: super(Flaky, self).discard(views, generation, most=3)))


async def flaky(monkeypatch: pytest.MonkeyPatch) -> tuple[Library, Flaky]:
    library = Library()
    store = library.store
    store.__class__ = Flaky
    assert isinstance(store, Flaky)
    monkeypatch.setattr("libs.runtime.projection.FIRST_CHUNK", 4)
    monkeypatch.setattr("libs.runtime.projection.LARGEST_CHUNK", 4)
    await library.open()
    await library.news(*news(5, 3))
    await library.consume()
    await library.news(*news(2, 1))
    return library, store


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 14))
async def test_a_process_that_dies_anywhere_leaves_one_whole_generation_in_use(
    at: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, store = await flaky(monkeypatch)
    before = await library.read()
    store.arm(at, asyncio.CancelledError(), after=after)
    job = library.rebuilder.ask("rebuild")
    assert job is not None
    while not (job.over or library.jobs[0].done()):
        await asyncio.sleep(0)
    store.arm(0, RuntimeError(), after=False)
    assert await library.read() in (before, await library.truth())
    await library.restart()
    assert (await library.finished()).state == "done"
    await library.consume()
    await library.news(*news(3, 1))
    await library.consume()
    assert await library.read() == await library.truth()
    assert len(await store.generations(VIEWS)) == 1
    await library.close()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 12))
async def test_an_answer_that_is_lost_changes_nothing(
    at: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.runtime.projection.AGAIN_S", 0.0)
    library, store = await flaky(monkeypatch)
    store.arm(at, StoreUnavailableError("lost"), after=after)
    job = await library.finished()
    assert (job.state, job.reason) == ("done", "")
    await library.consume()
    assert await library.read() == await library.truth()
    assert len(await store.generations(VIEWS)) == 1
    await library.close()


async def twice(recorded: Recorded, into: Documents) -> None:
    """What the next release makes of the same events."""
    await into.document("count", recorded.stream, int, lambda n: (n or 0) + 2, lambda n: f"{n:04}")


twice.__name__ = "count"


async def test_a_new_version_is_built_at_start_and_the_old_one_is_read_meanwhile(library: Library) -> None:
    await library.news(*news(3, 2))
    await library.consume()
    old = await library.read()
    await library.close()
    await library.news(*news(3, 1))
    library.projection = Projection(version=2, views=("count",), fold=twice)
    library.service = replace(
        library.service, follows=(Follower(twice, everything=True),), projection=library.projection
    )
    library.running = library.process("keeper-1")
    await library.lead()
    library.kept = library.following()
    await library.rebuilder.open([library.kept])
    # The new code leaves the old documents alone.
    assert library.rebuilder.outdated
    assert await library.kept.step() == 0
    assert await library.read() == old
    library.jobs.append(asyncio.create_task(library.rebuilder.run()))
    async with asyncio.timeout(60):
        while library.rebuilder.outdated:
            assert await library.read() == old
            await asyncio.sleep(0)
    await library.consume()
    await library.news(*news(3, 1))
    await library.consume()
    assert await library.read() == {stream: 2 * n for stream, n in (await library.truth()).items()}
    # What the old release had under a name that is gone is gone, too.
    assert library.store._documents.keys() == {("count", 1, f"side-s{n}") for n in range(3)}


async def test_a_start_with_the_same_version_builds_nothing(library: Library) -> None:
    await library.news(*news(2, 1))
    await library.consume()
    await library.restart()
    await asyncio.sleep(0)
    assert library.rebuilder.job is None
    assert await library.store.generations(VIEWS) == [0]


async def test_an_event_that_cannot_be_folded_is_named_and_the_old_documents_stay(library: Library) -> None:
    await library.news(*news(2, 2))
    await library.consume()
    before = await library.read()

    async def broken(recorded: Recorded, into: Documents) -> None:
        await count(recorded, into)
        if recorded.version == 2:
            raise ValueError("of no use")

    library.rebuilder._projection, usual = replace(library.projection, fold=broken), library.projection
    job = await library.finished()
    library.rebuilder._projection = usual
    assert job.state == "failed"
    assert "aside at position 3 (side-s0) cannot be folded: ValueError: of no use" in job.reason
    assert await library.read() == before
    assert await library.store.generations(VIEWS) == [0]
    # And it goes on.
    await library.news(*news(2, 1))
    await library.consume()
    assert await library.read() == await library.truth()


async def test_a_new_version_that_cannot_be_built_is_a_condition_until_one_can(library: Library) -> None:
    await library.news(*news(2, 2))
    await library.consume()

    async def broken(recorded: Recorded, into: Documents) -> None:
        raise ValueError("of no use")

    async def conditions(until: Callable[[list[Any]], bool]) -> list[Any]:
        async with asyncio.timeout(60):
            while not until(found := await library.store.conditions(within_s=60)):
                await asyncio.sleep(0)
        return found

    await library.restart(version=2, fold=broken)
    (failed,) = await conditions(bool)
    assert (failed.kind, failed.subject, failed.ended) == ("rebuild_failed", "keeper", None)
    assert "cannot be folded: ValueError: of no use" in failed.reason
    # Dying and failing again changes nothing: it is the same condition, since the same moment.
    await library.restart(version=2, fold=broken)
    while library.rebuilder.failure == "":
        await asyncio.sleep(0)
    assert await conditions(bool) == [failed]
    await library.restart(version=3)
    (mended,) = await conditions(lambda found: found[0].ended is not None)
    assert mended.began == failed.began
    # The release of before is not held up by what a later one could not do.
    library.clock.advance(1)
    await library.restart(version=4, fold=broken)
    await conditions(lambda found: len(found) == 2)
    await library.restart(version=3)
    assert all(one.ended for one in await conditions(bool))


async def test_a_check_finds_no_difference_where_there_is_none_though_news_arrive(library: Library) -> None:
    await library.news(*news(6, 3))
    await library.consume()
    job = library.rebuilder.ask("check")
    assert job is not None
    while not job.over:
        await library.news(*news(2, 1))
        await library.kept.step()
    assert (job.state, job.different, job.reason) == ("done", [], "")
    assert job.compared >= 12
    assert await library.store.generations(VIEWS) == [0]
    await library.consume()
    assert await library.read() == await library.truth()


@pytest.mark.parametrize("spoil", ["other", "gone", "extra", "order"])
async def test_a_check_names_what_is_not_what_the_record_says(library: Library, spoil: str) -> None:
    await library.news(*news(4, 2))
    await library.consume()
    documents = library.store._documents
    one = documents[("count", 0, "side-s1")]
    match spoil:
        case "other":
            documents[("count", 0, "side-s1")] = msgspec.structs.replace(one, data=b"7")
        case "gone":
            del documents[("count", 0, "side-s1")]
        case "extra":
            documents[("count", 0, "side-x")] = msgspec.structs.replace(one, key="side-x")
        case "order":
            documents[("count", 0, "side-s1")] = msgspec.structs.replace(one, sort="z")
    job = await library.finished("check")
    assert job.state == "done"
    assert job.different == ["count/side-x" if spoil == "extra" else "count/side-s1"]
    assert job.differences == 1


async def test_a_check_says_so_where_a_stream_is_held_back(library: Library) -> None:
    await library.news(*news(2, 1))
    await library.consume()
    TROUBLE.add("side-s1")
    try:
        await library.news(*news(2, 1))
        await library.kept.step()
    finally:
        TROUBLE.clear()
    job = await library.finished("check")
    assert job.state == "failed"
    assert "lacks events of 1 streams, side-s1 among them" in job.reason
    # Built anew, they hold what was held back.
    assert (await library.finished()).state == "done"
    assert await library.read() == await library.truth()
    await library.consume()
    await library.news(*news(2, 1))
    await library.consume()
    assert await library.read() == await library.truth()


async def test_one_thing_is_done_at_a_time(library: Library) -> None:
    first = library.rebuilder.ask("rebuild")
    assert first is not None
    assert library.rebuilder.ask("check") is None
    await over(first)
    again = library.rebuilder.ask("check")
    assert again is not None
    assert again.id != first.id
    await over(again)


async def test_what_is_handled_just_before_the_switch_is_folded_first(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library.news(*news(2, 2))
    await library.consume()
    still = library.kept.still

    @asynccontextmanager
    async def overtaken() -> AsyncIterator[Cursor]:
        await library.news(Aside(case_id="s1"))
        await library.kept.step()
        async with still() as reached:
            yield reached

    monkeypatch.setattr(library.kept, "still", overtaken)
    assert (await library.finished()).state == "done"
    assert await library.read() == await library.truth() == {"side-s0": 2, "side-s1": 3}


async def test_nothing_is_handled_while_the_switch_is_made(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library.news(*news(1, 2))
    await library.consume()
    switch = library.rebuilder._switch
    busy: list[asyncio.Task[int]] = []

    async def watched(wanted: Switch) -> None:
        await library.news(Aside(case_id="s0"))
        busy.append(asyncio.create_task(library.kept.step()))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not busy[0].done()
        await switch(wanted)

    monkeypatch.setattr(library.rebuilder, "_switch", watched)
    assert (await library.finished()).state == "done"
    await asyncio.gather(*busy)
    await library.consume()
    assert await library.read() == await library.truth() == {"side-s0": 3}


async def test_a_check_leaves_out_what_was_not_handled_yet(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library.news(*news(2, 2))
    await library.consume()
    suspects = library.rebuilder._suspects

    async def interrupted(*arguments: Any) -> set[tuple[str, str]]:
        found = await suspects(*arguments)
        await library.news(Aside(case_id="s0"))
        return found

    monkeypatch.setattr(library.rebuilder, "_suspects", interrupted)
    job = await library.finished("check")
    assert (job.state, job.different) == ("done", [])
