"""What every implementation of the record must do. A test module gives the fixtures and inherits the cases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

import msgspec
import pytest

from contracts.message import Recorded, Unknown
from libs.eventstore.store import (
    Append,
    Arrival,
    Beat,
    ChainBrokenError,
    ConflictError,
    Cursor,
    DocumentWrite,
    Due,
    InboxMark,
    LeaseClaim,
    Store,
    Timer,
    TimerClear,
)
from libs.testing.appendcase import NOON, AppendCase, Elapse
from libs.testing.followcase import FollowCase
from libs.testing.generationcase import GenerationCase, place
from libs.testing.samples import META, Aside, Closed, Noted, Novel, behind, first, fresh, head_of, new, plain

#: Changes the stored data of one version of a stream, past all protection.
Tamper: TypeAlias = Callable[[str, int], Awaitable[None]]


async def take(store: Store, after: Cursor, count: int) -> list[Recorded]:
    """Follow the record until so many events have come."""
    found: list[Recorded] = []
    async with asyncio.timeout(60):
        async for event in store.tail(after):
            found.append(event)
            if len(found) == count:
                break
    return found


class ReadingCase:
    """Reading: orders, filters, unknown types, the hash chain, following."""

    async def test_stream_is_read_from_and_up_to_a_version(self, store: Store) -> None:
        key = fresh()
        await store.append(
            plain(first(*(Noted(case_id=key, count=n) for n in range(4)), Closed(case_id=key)))
        )
        stream = f"case-{key}"

        async def versions(after: int = 0, **limits: object) -> list[int]:
            return [event.version for event in await store.read_stream(stream, after, **limits)]  # type: ignore[arg-type]

        assert await versions(2) == [3, 4, 5]
        assert await versions(1, upto=3) == [2, 3]
        assert await versions(types=["closed"]) == [5]
        assert await versions(types=["closed", "noted"], upto=2) == [1, 2]
        assert await versions(9) == []

    async def test_several_streams_are_read_at_once_as_they_are_named(self, store: Store) -> None:
        one, other = fresh(), fresh()
        for key in (one, other):
            await store.append(plain(first(*(Noted(case_id=key, count=n) for n in range(3)))))
        names = [f"case-{other}", "case-nowhere", f"case-{one}"]
        found = await store.read_streams(names, upto=2)
        assert [(event.stream, event.version) for event in found] == [
            (names[0], 1),
            (names[0], 2),
            (names[2], 1),
            (names[2], 2),
        ]
        assert found[2:] == await store.read_stream(names[2], upto=2)
        assert await store.read_streams([], upto=2) == []

    async def test_what_is_due_is_what_was_missed_and_not_handled(self, store: Store) -> None:
        long, new_one = fresh(), fresh()
        events = [*(Noted(case_id=long, count=n) for n in range(5)), Closed(case_id=long)]
        await store.append(plain(first(*events), first(Noted(case_id=new_one))))
        await store.append(
            Append(
                service="tester",
                inbox=(InboxMark(consumer="c", stream=f"case-{long}", before=0, version=2),),
            )
        )

        async def due(*arrivals: tuple[str, int, int], types: tuple[str, ...] = ()) -> list[tuple[int, ...]]:
            asked = [
                Arrival(stream=f"case-{key}", after=after, version=version)
                for key, after, version in arrivals
            ]
            found = await store.due("c", asked, types)
            return [(one.handled, *(event.version for event in one.missed)) for one in found]

        assert await due((long, 0, 3), (new_one, 0, 1)) == [(2,), (0,)]
        assert await due((long, 0, 6), (long, 4, 6), (long, 0, 1)) == [(2, 3, 4, 5), (2, 5), (2,)]
        assert await due((long, 0, 7), types=("closed",)) == [(2, 6)]
        assert await store.due("nobody", [Arrival(stream="case-none", version=3)], ()) == [Due(handled=0)]

    async def test_unknown_types_are_carried(self, store: Store) -> None:
        key = fresh()
        await store.append(plain(first(Noted(case_id=key), Novel(case_id=key, depth=3))))
        event = (await store.read_stream(f"case-{key}"))[1]
        assert event.type == "novel"
        assert event.event == Unknown(type="novel", data={"type": "novel", "case_id": key, "depth": 3})
        assert (await store.verify(f"case-{key}")).version == 2

    async def test_chain_holds_whatever_the_numbers(self, store: Store) -> None:
        key = fresh()
        amounts = [1.0, -0.0, 0.1, 1e15, 1e16, 1e22, 1e23, 5e-324, 1.7976931348623157e308, -1.5e-7, 2.0**53]
        texts = ["", "é\u2028", "\\u0000", '"\\\x1f\x7f', "\U0001f680"]
        events = [Noted(case_id=key, amount=amount, tags={"10": "", "9": "", "é": ""}) for amount in amounts]
        events += [Noted(case_id=key, text=text, count=2**53 - 1) for text in texts]
        await store.append(plain(first(*events)))
        assert [event.event for event in await store.read_stream(f"case-{key}")] == events
        assert (await store.verify(f"case-{key}")).version == len(events)

    async def test_changed_event_breaks_the_chain(self, store: Store, tamper: Tamper) -> None:
        key = fresh()
        await store.append(
            plain(first(*(Noted(case_id=key, count=n) for n in range(4)), Closed(case_id=key)))
        )
        head = await store.verify(f"case-{key}")
        assert (head.version, head.ended) == (5, True)
        await tamper(f"case-{key}", 3)
        with pytest.raises(ChainBrokenError) as broken:
            await store.verify(f"case-{key}")
        assert (broken.value.stream, broken.value.version) == (f"case-{key}", 3)

    async def test_record_is_read_in_order_and_in_pages(self, store: Store) -> None:
        keys = [fresh() for _ in range(7)]
        recorded = [event for key in keys for event in await store.append(plain(first(Noted(case_id=key))))]
        recorded += await store.append(plain(first(Aside(case_id=keys[0]))))
        places = [place(event) for event in recorded]
        assert places == sorted(places)
        read: list[Recorded] = []
        while page := await store.read_all(place(read[-1]) if read else Cursor(), limit=3):
            assert len(page) <= 3
            read += page
        assert read == recorded
        sides = await store.read_all(Cursor(), categories=["side"])
        assert [event.stream for event in sides] == [f"side-{keys[0]}"]

    async def test_record_is_read_through_from_and_up_to_any_place(self, store: Store) -> None:
        keys = [fresh() for _ in range(260)]
        recorded: list[Recorded] = []
        for n, key in enumerate(keys):
            extra = [first(Aside(case_id=key))] if n % 100 == 7 else []
            recorded += await store.append(plain(first(Noted(case_id=key), Noted(case_id=key)), *extra))
        assert [event async for event in store.scan(Cursor())] == recorded
        for start, end in ((0, 0), (5, 5), (5, 6), (3, 499), (498, len(recorded) - 1), (9, 4)):
            found = store.scan(place(recorded[start]), upto=place(recorded[end]))
            assert [event async for event in found] == recorded[start + 1 : end + 1]
        assert [event async for event in store.scan(place(recorded[-1]))] == []
        sides = [event async for event in store.scan(Cursor(), categories=["side"])]
        assert sides == [event for event in recorded if event.type == "aside"]
        some = store.scan(Cursor(), categories=["side", "none"], upto=place(sides[1]))
        assert [event async for event in some] == sides[:2]

    async def test_a_scan_carries_unknown_types(self, store: Store) -> None:
        key = fresh()
        await store.append(plain(first(Noted(case_id=key), Novel(case_id=key, depth=3))))
        found = [event async for event in store.scan(Cursor())]
        assert found == await store.read_stream(f"case-{key}")
        assert isinstance(found[1].event, Unknown)

    async def test_public_position_leads_to_a_cursor(self, store: Store) -> None:
        recorded = [
            event for _ in range(3) for event in await store.append(plain(first(Noted(case_id=fresh()))))
        ]
        assert await store.cursor_of(0) == Cursor()
        for event in recorded:
            assert await store.cursor_of(event.position) == place(event)
        assert await store.read_all(await store.cursor_of(recorded[0].position)) == recorded[1:]
        assert await store.cursor_of(recorded[-1].position + 1000) == place(recorded[-1])

    async def test_heads_are_listed_newest_first(self, store: Store) -> None:
        keys = [fresh() for _ in range(5)]
        for key in keys:
            await store.append(plain(first(Noted(case_id=key))))
        await store.append(plain(behind(await head_of(store, f"case-{keys[1]}"), Closed(case_id=keys[1]))))
        await store.append(plain(first(Aside(case_id=keys[0]))))
        streams = [f"case-{key}" for key in reversed(keys)]
        heads = await store.heads("case")
        assert [head.stream for head in heads] == streams
        assert [head.ended for head in heads] == [False, False, False, True, False]
        assert heads[3] == await store.verify(streams[3])
        still_open = await store.heads("case", open_only=True)
        assert [head.stream for head in still_open] == [*streams[:3], streams[4]]
        assert [head.stream for head in await store.heads("case", limit=2, after=streams[1])] == streams[2:4]
        assert await store.heads("case", after="case-unknown") == []

    async def test_follower_sees_everything_exactly_once(self, store: Store) -> None:
        (before,) = await store.append(plain(first(Noted(case_id=fresh()))))
        writers, each = 8, 12
        following = asyncio.create_task(take(store, Cursor(), 1 + writers * each))

        async def write() -> None:
            key = fresh()
            for n in range(each):
                head = await head_of(store, f"case-{key}")
                await store.append(plain(behind(head, Noted(case_id=key, count=n))))

        await asyncio.gather(*(write() for _ in range(writers)))
        seen = await following
        assert seen[0] == before
        assert len({event.id for event in seen}) == len(seen)
        assert [place(event) for event in seen] == sorted(place(event) for event in seen)
        assert seen == await store.read_all(Cursor())


class BookkeepingCase:
    """Outbox, timers, leases, documents."""

    async def test_outbox_keeps_what_is_not_confirmed(self, store: Store, elapse: Elapse) -> None:
        key = fresh()
        old = await store.append(plain(first(Noted(case_id=key), Noted(case_id=key))))
        await elapse(5)
        other = Append(service="other", streams=(first(Aside(case_id=key)),))
        await store.append(other)
        head = await head_of(store, f"case-{key}")
        young = await store.append(plain(behind(head, Noted(case_id=key))))

        async def pending(older_than_s: float = 0, limit: int = 500) -> list[str]:
            found = await store.pending_outbox("tester", older_than_s=older_than_s, limit=limit)
            return [event.id for event in found]

        ids = [event.id for event in old]
        assert await pending(older_than_s=3) == ids
        assert await pending() == [*ids, young[0].id]
        assert await pending(limit=1) == ids[:1]
        await store.published([old[0].position, young[0].position, 10**9])
        await store.published([])
        assert await pending() == ids[1:]
        assert len(await store.pending_outbox("other", older_than_s=0)) == 1

    async def test_outbox_passes_on_what_was_written(self, store: Store) -> None:
        key = fresh()
        written = Noted(case_id=key, amount=1e300, text="é")
        (recorded,) = await store.append(plain(first(written)))
        (pending,) = await store.pending_outbox("tester", older_than_s=0)
        assert isinstance(pending.event, Unknown)
        assert msgspec.structs.replace(pending, event=written) == recorded
        assert msgspec.convert(pending.event.data, Noted) == written

    async def test_the_end_of_the_record_tells_what_a_consumer_has_not_handled(self, store: Store) -> None:
        key, consumer = fresh(), f"tester-{fresh()}"
        recorded = await store.append(
            plain(first(Noted(case_id=key), Closed(case_id=key)), first(Aside(case_id=key)))
        )
        stream = f"case-{key}"
        mine = [event for event in recorded if event.type == "noted"]
        assert await store.unhandled(consumer, ("noted",), among=3) == mine
        assert await store.unhandled(consumer, (), among=3) == list(recorded)
        mark = InboxMark(consumer=consumer, stream=stream, before=0, version=1)
        await store.append(Append(service="tester", inbox=(mark,)))
        assert await store.unhandled(consumer, ("noted",), among=3) == []
        assert [event.type for event in await store.unhandled(consumer, (), among=3)] == ["closed", "aside"]
        assert [event.type for event in await store.unhandled(consumer, (), among=1)] == ["aside"]

    async def test_timers_come_due_in_order(self, store: Store) -> None:
        service = fresh()

        def timer(key: str, minutes: int, kind: str = "wake") -> Timer:
            return Timer(
                service=service, key=key, due=NOON + timedelta(minutes=minutes), kind=kind, subject="s"
            )

        assert await store.next_timer(service) is None
        await store.append(
            Append(service="tester", timers=(timer("b", 2), timer("a", 1), timer("c", 3), timer("a", 9)))
        )
        assert await store.next_timer(service) == NOON + timedelta(minutes=2)
        assert await store.due_timers(service, NOON) == []
        assert await store.due_timers(service, NOON + timedelta(minutes=3)) == [timer("b", 2), timer("c", 3)]
        assert await store.due_timers(service, NOON + timedelta(minutes=9), limit=1) == [timer("b", 2)]
        # Replaced, cleared, and cleared and set again in one append.
        await store.append(
            Append(
                service="tester",
                timers=(timer("c", 1, "sooner"), timer("a", 5)),
                clear_timers=tuple(TimerClear(service=service, key=key) for key in ("b", "a", "none")),
            )
        )
        assert await store.due_timers(service, NOON + timedelta(hours=1)) == [
            timer("c", 1, "sooner"),
            timer("a", 5),
        ]
        assert await store.due_timers("other" + service, NOON + timedelta(hours=1)) == []

    async def test_a_beat_extends_a_lease_and_tells_what_there_is_to_do(
        self, store: Store, elapse: Elapse
    ) -> None:
        name, service = fresh(), fresh()
        lease = await store.acquire(name, "a", 10)
        assert lease is not None
        claim = LeaseClaim(name=name, epoch=lease.epoch)

        async def beat() -> Beat:
            told = await store.beat(claim, 10, service, older_than_s=5)
            assert told is not None
            return told

        before = await beat()
        assert (before.end, before.left_behind, before.due) == (await store.end(), False, None)
        timer = Timer(service=service, key="k", due=NOON, kind="wake", subject="s")
        later = Timer(service=service, key="l", due=NOON + timedelta(hours=1), kind="wake", subject="s")
        stream = first(Noted(case_id=fresh()))
        (recorded,) = await store.append(Append(service=service, streams=(stream,), timers=(later, timer)))
        told = await beat()
        assert (told.end, told.left_behind, told.due) == (place(recorded), False, NOON)
        await elapse(8)
        assert (await beat()).left_behind
        assert await store.beat(claim, 10, "other" + service, older_than_s=5) == Beat(
            end=place(recorded), left_behind=False, due=None
        )
        await store.published([recorded.position])
        assert not (await beat()).left_behind
        # It was extended all the while, and is not any more once somebody else has it.
        await elapse(8)
        assert await store.acquire(name, "b", 10) is None
        assert await store.acquire(name, "b", 10, takeover=True) is not None
        assert await store.beat(claim, 10, service, older_than_s=5) is None

    async def test_lease_passes_from_holder_to_holder(self, store: Store, elapse: Elapse) -> None:
        name = fresh()
        lease = await store.acquire(name, "a", 10)
        assert lease is not None
        assert (lease.holder, lease.epoch) == ("a", 1)
        assert await store.acquire(name, "b", 10) is None
        await elapse(8)
        assert await store.renew(name, 1, 10)
        await elapse(8)
        assert await store.acquire(name, "b", 10) is None
        again = await store.acquire(name, "a", 10)
        assert again is not None
        assert again.epoch == 2
        assert not await store.renew(name, 1, 10)
        await store.release(name, 1)
        assert await store.acquire(name, "b", 10) is None
        await store.release(name, 2)
        freed = await store.acquire(name, "b", 10)
        assert freed is not None
        assert (freed.holder, freed.epoch) == ("b", 3)
        forced = await store.acquire(name, "c", 10, takeover=True)
        assert forced is not None
        assert forced.epoch == 4
        await elapse(11)
        lapsed = await store.acquire(name, "d", 10)
        assert lapsed is not None
        assert lapsed.epoch == 5
        assert [held for held in await store.leases() if held.name == name] == [lapsed]

    async def test_one_of_many_candidates_gets_the_lease(self, store: Store) -> None:
        name = fresh()
        leases = await asyncio.gather(*(store.acquire(name, f"h{n}", 10) for n in range(20)))
        assert sum(lease is not None for lease in leases) == 1

    async def test_document_is_replaced_behind_its_version(self, store: Store) -> None:
        view = fresh()

        async def write(key: str, before: int, data: bytes | None, sort: str = "") -> None:
            change = DocumentWrite(view=view, key=key, before=before, data=data, sort=sort)
            await store.append(Append(service="tester", documents=(change,)))

        await write("a", 0, b'{"n": 1.0,  "b":2}', "1")
        found = await store.document(view, "a")
        assert found is not None
        assert (found.data, found.version, found.sort) == (b'{"n": 1.0,  "b":2}', 1, "1")
        for before in (0, 2):
            with pytest.raises(ConflictError) as refused:
                await write("a", before, b"{}")
            assert (refused.value.stream, refused.value.expected) == (f"{view}/a", before)
        await write("a", 1, b'{"n":2}', "5")
        for before in (0, 1):
            with pytest.raises(ConflictError):
                await write("a", before, None)
        found = await store.document(view, "a")
        assert found is not None
        assert (found.data, found.version, found.sort) == (b'{"n":2}', 2, "5")
        await write("a", 2, None)
        await write("never", 0, None)
        assert await store.document(view, "a") is None

    async def test_documents_are_listed_greatest_first(self, store: Store) -> None:
        view = fresh()
        sorts = ["2026-01", "Z", "a", "2026-02", "é"]
        writes = tuple(
            DocumentWrite(view=view, key=f"k{sort}", before=0, data=b"{}", sort=sort) for sort in sorts
        )
        await store.append(Append(service="tester", documents=writes))
        listed = [document.sort for document in await store.documents(view)]
        assert listed == ["é", "a", "Z", "2026-02", "2026-01"]
        assert [document.sort for document in await store.documents(view, limit=2, before="Z")] == listed[3:]
        assert await store.documents(fresh()) == []


class StoreCase(AppendCase, ReadingCase, BookkeepingCase, FollowCase, GenerationCase):
    """All of it."""

    async def test_it_answers(self, store: Store) -> None:
        await store.ping()
        assert new(Noted(case_id="x")).meta == META
