"""What every implementation of the record must do with those who follow it."""

from __future__ import annotations

import asyncio

import pytest

from contracts.message import Recorded
from libs.eventstore.store import (
    Append,
    Cursor,
    CursorMark,
    DuplicateDeliveryError,
    HoldMark,
    InboxMark,
    Store,
)
from libs.testing.samples import Noted, first, fresh, plain

END = Cursor(xid=2**62, position=2**62)


def place(event: Recorded) -> Cursor:
    """Return where an event stands in the reading order."""
    return Cursor(xid=event.xid, position=event.position)


def moved(consumer: str, before: Cursor, after: Cursor, *holds: HoldMark) -> Append:
    """Move a follower's cursor."""
    mark = CursorMark(consumer=consumer, before=before, after=after)
    return Append(service="tester", cursor=mark, holds=holds)


def held(consumer: str, stream: str, before: int | None, version: int | None) -> HoldMark:
    """Hold a stream back, go on in it, or let it go."""
    return HoldMark(consumer=consumer, stream=stream, before=before, version=version)


async def noted(store: Store, key: str, count: int = 1) -> tuple[Recorded, ...]:
    """Record some events of one stream."""
    return await store.append(plain(first(*(Noted(case_id=key, count=n) for n in range(count)))))


class FollowCase:
    """Cursors move once, pages are read in order, streams are held back and let go."""

    async def test_behind_the_end_there_is_only_what_comes_later(self, store: Store) -> None:
        await noted(store, fresh(), 3)
        end = await store.end()
        assert await store.read_page(end, (), limit=10) is None
        (later,) = await noted(store, fresh())
        page = await store.read_page(end, (), limit=10)
        assert page is not None
        assert [event.id for event in page.events] == [later.id]
        assert await store.end() == place(later)

    async def test_a_cursor_moves_with_the_effect_and_only_from_where_it_is(self, store: Store) -> None:
        name, key = fresh(), fresh()
        one, two = await noted(store, fresh(), 2)
        start = await store.follower(name, ())
        mark = CursorMark(consumer=name, before=start, after=place(one))
        await store.append(Append(service="tester", streams=(first(Noted(case_id=key)),), cursor=mark))
        assert await store.follower(name, ()) == place(one)
        lost = fresh()
        with pytest.raises(DuplicateDeliveryError, match=name):
            await store.append(Append(service="tester", streams=(first(Noted(case_id=lost)),), cursor=mark))
        assert await store.read_stream(f"case-{lost}") == []
        await store.append(moved(name, place(one), place(two)))
        assert await store.follower(name, ()) == place(two)

    async def test_of_two_first_moves_one_is_refused(self, store: Store) -> None:
        name = fresh()
        one, two = await noted(store, fresh(), 2)
        start = Cursor()
        outcomes = await asyncio.gather(
            store.append(moved(name, start, place(one))),
            store.append(moved(name, start, place(two))),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DuplicateDeliveryError", "tuple"]

    async def test_a_stream_is_held_back_gone_on_with_and_let_go_once(self, store: Store) -> None:
        name, stream = fresh(), f"case-{fresh()}"
        (event,) = await noted(store, fresh())
        await store.append(moved(name, Cursor(), place(event), held(name, stream, None, 0)))
        assert await store.held_back(name) == {stream: 0}
        for wrong in ((None, 0), (1, 2), (1, None)):
            with pytest.raises(DuplicateDeliveryError, match=name):
                await store.append(Append(service="tester", holds=(held(name, stream, *wrong),)))
        await store.append(Append(service="tester", holds=(held(name, stream, 0, 3),)))
        assert await store.held_back(name) == {stream: 3}
        await store.append(Append(service="tester", holds=(held(name, stream, 3, None),)))
        assert await store.held_back(name) == {}
        with pytest.raises(DuplicateDeliveryError):
            await store.append(Append(service="tester", holds=(held(name, stream, 3, None),)))

    async def test_what_a_follower_has_handled_of_a_stream(self, store: Store) -> None:
        name, key = fresh(), fresh()
        events = await noted(store, key, 3)
        stream = f"case-{key}"
        assert await store.handled(name, stream) == 0
        await store.append(moved(name, Cursor(), place(events[1])))
        assert await store.handled(name, stream) == 2
        await store.append(moved(name, place(events[1]), place(events[2]), held(name, stream, None, 1)))
        assert await store.handled(name, stream) == 1

    async def test_how_far_behind_a_follower_is(self, store: Store) -> None:
        name = fresh()
        one, two = await noted(store, fresh(), 2)
        await store.append(moved(name, Cursor(), place(one)))
        assert await store.behind(name)
        await store.append(moved(name, place(one), END))
        assert await store.behind(name) == 0.0
        assert two.version == 2

    async def test_a_page_has_the_wanted_types_and_goes_as_far_as_was_looked(self, store: Store) -> None:
        (start,) = await noted(store, fresh())
        events = await noted(store, fresh(), 5)
        page = await store.read_page(place(start), (), limit=3)
        assert page is not None
        assert ([*page.events], page.end, page.size) == ([*events[:3]], place(events[2]), 3)
        other = await store.read_page(page.end, ("of another kind",), limit=500)
        assert other is not None
        assert (other.events, other.end) == ((), place(events[4]))
        mine = await store.read_page(page.end, (events[0].type,), limit=500)
        assert mine is not None
        assert [*mine.events] == [*events[3:]]
        assert await store.read_page(END, (), limit=500) is None

    async def test_who_was_fed_by_the_bus_begins_before_the_first_event_that_its_inbox_lacks(
        self, store: Store
    ) -> None:
        name = fresh()
        (old,) = await noted(store, fresh())
        kind = [old.type]
        known = await store.follower(name, kind)
        # Never fed: before the first of its kind there is.
        assert known < place(old)
        assert await store.follower(name, ["of nobody"]) >= place(old)

    async def test_an_inbox_says_how_far_a_follower_was_fed(self, store: Store) -> None:
        name = fresh()
        everything: list[Recorded] = []
        page = await store.read_page(Cursor(), (), limit=100_000)
        while page is not None:
            everything += page.events
            page = await store.read_page(page.end, (), limit=100_000)
        one = await noted(store, fresh(), 2)
        last = {event.stream: event.version for event in everything}
        marks = [
            InboxMark(consumer=name, stream=stream, before=0, version=version)
            for stream, version in (last | {one[0].stream: 1}).items()
        ]
        await store.append(Append(service="tester", inbox=tuple(marks)))
        start = await store.follower(name, ())
        found = await store.read_page(start, (), limit=1)
        assert found is not None
        assert found.events == (one[1],)
