"""A follower: every event once, in order, whatever fails, dies or is answered by nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from contracts.message import Recorded, Unknown
from libs.eventstore.memory import MemoryStore
from libs.eventstore.store import (
    Append,
    Cursor,
    CursorMark,
    InboxMark,
    StaleLeaseError,
    StoreUnavailableError,
)
from libs.messaging.bus import MAX_DELIVER
from libs.messaging.outcome import Outcome, Reject, Retry
from libs.runtime.following import Following
from libs.runtime.redrive import LetterRef, Wish, redrive
from libs.runtime.service import Follower
from libs.runtime.work import Work
from tests.unit.runtime.house import Add, Aside, House, Noted, cases

NAME = "keeper-hear"


class Listener:
    """Writes down what it hears, and answers as it is told to."""

    def __init__(self) -> None:
        #: Answer or error by `<stream's key>.<version>`, given for as long as it is here.
        self.trouble: dict[str, Outcome | Exception] = {}

    async def hear(self, event: Aside, work: Work) -> Outcome | None:
        assert work.cause is not None
        name = f"{event.case_id}.{work.cause.version}"
        await work.decide(cases, "log", Add(case_id="log", text=name))
        trouble = self.trouble.get(name)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble


class Place(House):
    """A house whose service follows the record, with what it has handled so far."""

    def __init__(self, batch: int = 1_024) -> None:
        self.listener = Listener()
        super().__init__(Follower(self.listener.hear, batch=batch))
        self.kept = self.following()

    async def open(self) -> Following:
        """Take the lead as a new process."""
        self.running = await self.lead(self.process("keeper-1"))
        self.kept = self.following()
        self.running.redrives = {NAME: self.kept.redrive}
        return self.kept

    async def heard(self) -> list[str]:
        """What took effect, in order."""
        return await self.texts("log")

    async def rounds(self, count: int = 1, seconds: float = 2.0) -> None:
        """Let time pass and the follower work, again and again."""
        for _ in range(count):
            await self.kept.step()
            self.clock.advance(seconds)

    def wish(self, stream: str) -> Wish:
        """Redrive a stream with all of its letters."""
        letters = [letter for letter in self.server.open_letters() if letter.stream == stream]
        refs = tuple(LetterRef(id=letter.id, version=letter.version) for letter in letters)
        return Wish(consumer=NAME, stream=stream, letters=refs, reason="mended")


@pytest.fixture
async def place() -> Place:
    made = Place()
    await made.open()
    return made


def asides(key: str, count: int) -> list[Aside]:
    return [Aside(case_id=key) for _ in range(count)]


async def test_everything_of_its_types_is_handled_once_and_in_order(place: Place) -> None:
    await place.news(*asides("x", 2), Noted(case_id="other"), *asides("y", 1), *asides("x", 1))
    assert await place.kept.step() == 5
    # Its own event is not of its types, and moves the cursor only.
    assert await place.kept.step() == 4
    assert await place.kept.step() == 0
    assert await place.heard() == ["x.1", "x.2", "y.1", "x.3"]
    assert place.kept.handled == 4
    assert await place.store.handled(NAME, "side-x") == 3


async def test_a_successor_goes_on_where_the_cursor_is(place: Place) -> None:
    await place.news(*asides("x", 2))
    await place.rounds(2)
    await place.news(*asides("x", 2))
    await place.open()
    await place.rounds(2)
    assert await place.heard() == ["x.1", "x.2", "x.3", "x.4"]


async def test_long_records_are_read_page_by_page() -> None:
    place = Place(batch=3)
    await place.open()
    await place.news(*asides("x", 10))
    sizes = [await place.kept.step() for _ in range(5)]
    assert sizes[:3] == [3, 3, 3]
    await place.rounds(10)
    assert await place.heard() == [f"x.{n}" for n in range(1, 11)]


@pytest.mark.parametrize(
    "trouble", [ValueError("of no use"), Retry(after_s=1.0, reason="not now"), Reject(reason="never")]
)
async def test_what_fails_holds_back_its_own_stream_and_no_other(
    place: Place, trouble: Outcome | Exception
) -> None:
    place.listener.trouble["x.2"] = trouble
    await place.news(*asides("x", 3), *asides("y", 2))
    await place.rounds(2)
    assert await place.heard() == ["x.1", "y.1", "y.2"]
    assert await place.store.held_back(NAME) == {"side-x": 1}
    assert await place.store.handled(NAME, "side-x") == 1
    await place.news(*asides("x", 1), *asides("y", 1))
    await place.rounds()
    assert await place.heard() == ["x.1", "y.1", "y.2", "y.3"]


async def test_a_stream_goes_on_in_order_once_its_cause_is_mended(place: Place) -> None:
    place.listener.trouble["x.2"] = ValueError("of no use")
    await place.news(*asides("x", 3), *asides("y", 1))
    await place.rounds(2)
    place.listener.trouble.clear()
    await place.news(*asides("x", 1))
    await place.rounds(2)
    assert await place.heard() == ["x.1", "y.1", "x.2", "x.3", "x.4"]
    assert await place.store.held_back(NAME) == {}
    assert place.server.open_letters() == []


async def test_what_fails_again_and_again_is_given_up_with_a_letter_that_says_why(place: Place) -> None:
    place.listener.trouble["x.2"] = ValueError("of no use")
    await place.news(*asides("x", 3))
    await place.rounds(MAX_DELIVER + 4)
    (letter,) = place.server.open_letters()
    assert (letter.consumer, letter.stream, letter.version) == (NAME, "side-x", 2)
    assert letter.attempts == MAX_DELIVER
    assert "of no use" in letter.reason
    assert place.kept.buried == 1
    # Nobody tries it any more.
    assert place.kept.failed == MAX_DELIVER


async def test_what_the_world_was_not_ready_for_is_never_given_up(place: Place) -> None:
    place.listener.trouble["x.1"] = Retry(after_s=1.0, reason="not now", counted=False)
    await place.news(*asides("x", 1))
    await place.rounds(5 * MAX_DELIVER)
    assert place.server.open_letters() == []
    place.listener.trouble.clear()
    await place.rounds()
    assert await place.heard() == ["x.1"]


async def test_a_wait_is_kept(place: Place) -> None:
    place.listener.trouble["x.1"] = Retry(after_s=5.0, reason="not now")
    await place.news(*asides("x", 1))
    await place.kept.step()
    place.listener.trouble.clear()
    place.clock.advance(4)
    await place.kept.step()
    assert await place.heard() == []
    place.clock.advance(2)
    await place.kept.step()
    assert await place.heard() == ["x.1"]


async def test_a_redrive_handles_what_was_held_back_and_settles_the_letter(place: Place) -> None:
    place.listener.trouble["x.2"] = Reject(reason="never")
    await place.news(*asides("x", 4))
    await place.rounds(2)
    still = await redrive(place.running, place.wish("side-x"), "ada")
    assert (still.handled, still.upto, still.settled) == (0, 1, ())
    assert "never" in still.failure
    place.listener.trouble.clear()
    done = await redrive(place.running, place.wish("side-x"), "ada")
    assert (done.handled, done.upto, done.failure) == (3, 4, "")
    assert len(done.settled) == 1
    assert place.server.open_letters() == []
    assert place.kept.buried == 0
    events = await place.store.read_stream("case-log")
    assert [event.meta.actor for event in events] == ["", "ada", "ada", "ada"]
    assert await place.heard() == ["x.1", "x.2", "x.3", "x.4"]


async def test_a_restart_tries_what_was_given_up_again(place: Place) -> None:
    place.listener.trouble["x.1"] = Reject(reason="never")
    await place.news(*asides("x", 2))
    await place.rounds(2)
    place.listener.trouble.clear()
    await place.open()
    await place.rounds()
    assert await place.heard() == ["x.1", "x.2"]


async def test_a_letter_that_cannot_be_written_is_written_later(place: Place) -> None:
    place.listener.trouble["x.1"] = Reject(reason="never")
    place.server.available = False
    await place.news(*asides("x", 1))
    await place.rounds(3)
    assert place.kept.buried == 0
    place.server.available = True
    place.server.wake()
    await place.rounds(2)
    assert place.kept.buried == 1
    assert len(place.server.open_letters()) == 1


async def test_an_event_that_cannot_be_read_is_given_up_and_holds_nothing_else_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.news(*asides("x", 2), *asides("y", 1))
    position = place.store._streams["side-x"][0]
    damaged = place.store._recorded[position]
    monkeypatch.setitem(
        place.store._recorded,
        position,
        msgspec.structs.replace(damaged, event=Unknown(type=damaged.type, data={})),
    )
    await place.rounds(2)
    assert await place.heard() == ["y.1"]
    (letter,) = place.server.open_letters()
    assert "does not fit its class" in letter.reason


async def test_one_that_the_bus_fed_before_goes_on_where_its_inbox_stands(place: Place) -> None:
    await place.news(*asides("x", 3), *asides("y", 2))
    marks = tuple(
        InboxMark(consumer=NAME, stream=stream, before=0, version=version)
        for stream, version in (("side-x", 3), ("side-y", 1))
    )
    await place.store.append(Append(service="keeper", inbox=marks))
    await place.rounds(2)
    assert await place.heard() == ["y.2"]


async def test_who_was_overtaken_handles_nothing_twice(place: Place) -> None:
    """A process that was stopped, and another one that followed meanwhile without a lease: the cursor tells."""
    await place.news(*asides("x", 2))
    stale = place.kept
    await stale.step()
    await place.news(*asides("x", 2))
    other = place.following()
    while await other.step():
        pass
    await place.news(*asides("x", 1))
    for _ in range(3):
        await stale.step()
    assert await place.heard() == [f"x.{n}" for n in range(1, 6)]


async def test_without_the_lease_nothing_is_handled(place: Place) -> None:
    await place.lead(place.process("keeper-2"))
    await place.news(*asides("x", 1))
    with pytest.raises(StaleLeaseError):
        await place.kept.step()
    assert await place.heard() == []


class Flaky(MemoryStore):
    """Refuses some calls, and carries some out without saying so."""

    dice: random.Random

    async def _pass(self, act: Callable[[], Awaitable[Any]]) -> Any:
        roll = self.dice.random()
        if roll < 0.15:
            raise StoreUnavailableError("away")
        result = await act()
        if roll > 0.85:
            raise StoreUnavailableError("lost")
        return result

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        found: tuple[Recorded, ...] = await self._pass(lambda: super(Flaky, self).append(append))
        return found

    async def follower(self, consumer: str, types: Any) -> Cursor:
        found: Cursor = await self._pass(lambda: super(Flaky, self).follower(consumer, types))
        return found

    async def read_stream(self, *args: Any, **options: Any) -> list[Recorded]:
        found: list[Recorded] = await self._pass(lambda: super(Flaky, self).read_stream(*args, **options))
        return found


def troubles(dice: random.Random) -> Iterator[Outcome | Exception]:
    while True:
        yield dice.choice(
            [
                ValueError("of no use"),
                Retry(after_s=0.5, reason="not now"),
                Retry(after_s=3.0, reason="not now", counted=False),
                Reject(reason="never"),
            ]
        )


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_fails_and_whoever_dies_each_event_takes_effect_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    place = Place(batch=dice.choice((1, 2, 7, 100)))
    await place.open()
    sent: dict[str, int] = {}
    trouble = troubles(dice)
    for _ in range(30):
        key = dice.choice("abc")
        count = dice.randint(1, 4)
        await place.news(*asides(key, count))
        sent[key] = sent.get(key, 0) + count
        if dice.random() < 0.3:
            place.listener.trouble[f"{key}.{sent[key]}"] = next(trouble)
        if dice.random() < 0.3:
            place.listener.trouble.clear()
        place.store.__class__ = Flaky
        place.store.dice = dice  # type: ignore[attr-defined]
        for _ in range(dice.randint(1, 3)):
            with suppress(StoreUnavailableError):
                await place.kept.step()
        place.store.__class__ = MemoryStore
        place.clock.advance(dice.choice((0.1, 1.0, 4.0)))
        if dice.random() < 0.15:
            await place.open()
    place.listener.trouble.clear()
    await place.open()
    await place.rounds(300, seconds=5.0)
    heard = await place.heard()
    assert sorted(heard) == sorted(f"{key}.{n}" for key, count in sent.items() for n in range(1, count + 1))
    for key in sent:
        of_key = [int(text.partition(".")[2]) for text in heard if text.startswith(f"{key}.")]
        assert of_key == sorted(of_key)
    assert await place.store.held_back(NAME) == {}


async def test_a_cursor_that_somebody_else_moved_is_read_again(place: Place) -> None:
    await place.news(*asides("x", 2))
    await place.kept.step()
    before = await place.store.follower(NAME, ())
    await place.news(*asides("x", 1))
    (event,) = (await place.store.read_stream("side-x", 2))[:1]
    ahead = Cursor(xid=event.xid, position=event.position)
    await place.store.append(
        Append(service="keeper", cursor=CursorMark(consumer=NAME, before=before, after=ahead))
    )
    await place.news(*asides("x", 1))
    await place.rounds(3)
    # What the other one passed is its business.
    assert await place.heard() == ["x.1", "x.2", "x.4"]


async def test_while_it_stands_still_nothing_is_handled(place: Place) -> None:
    await place.news(*asides("x", 1))
    await place.kept.step()
    async with place.kept.still() as reached:
        assert reached == await place.store.follower(NAME, ())
        await place.news(*asides("x", 1))
        step = asyncio.create_task(place.kept.step())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not step.done()
    await step
    assert await place.heard() == ["x.1", "x.2"]
