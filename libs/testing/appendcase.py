"""What every implementation of the record must do with appends: all or nothing, and every refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.eventstore.store import (
    Append,
    ConflictError,
    DocumentWrite,
    DuplicateDeliveryError,
    InboxMark,
    LeaseClaim,
    StaleLeaseError,
    Store,
    StreamHead,
    Timer,
    UnrecordableError,
)
from libs.testing.samples import Aside, Noted, behind, first, fresh, head_of, plain

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
#: Lets seconds pass for leases and outbox rows.
Elapse: TypeAlias = Callable[[float], Awaitable[None]]


class AppendCase:
    """Appends: what becomes true together, and what refuses."""

    async def test_append_returns_what_is_read_back(self, store: Store) -> None:
        key = fresh()
        recorded = await store.append(
            plain(first(Noted(case_id=key, text="a"), Noted(case_id=key, text="b")))
        )
        assert [event.version for event in recorded] == [1, 2]
        assert [event.event for event in recorded] == [
            Noted(case_id=key, text="a"),
            Noted(case_id=key, text="b"),
        ]
        assert recorded[0].prev_hash == ""
        assert recorded[1].prev_hash == recorded[0].hash
        assert 0 < recorded[0].position < recorded[1].position
        assert recorded[0].xid == recorded[1].xid > 0
        assert tuple(await store.read_stream(f"case-{key}")) == recorded
        assert await store.find(recorded[1].id) == recorded[1]
        assert await store.find(fresh()) is None
        assert await store.find("no uuid") is None

    async def test_streams_are_appended_all_or_none(self, store: Store) -> None:
        key, other = fresh(), fresh()
        await store.append(plain(first(Noted(case_id=key))))
        with pytest.raises(ConflictError) as refused:
            await store.append(plain(first(Noted(case_id=other)), first(Noted(case_id=key))))
        assert (refused.value.stream, refused.value.expected) == (f"case-{key}", 0)
        assert await store.read_stream(f"case-{other}") == []
        head = await head_of(store, f"case-{key}")
        recorded = await store.append(plain(first(Aside(case_id=other)), behind(head, Noted(case_id=key))))
        assert [(event.stream, event.version) for event in recorded] == [
            (f"side-{other}", 1),
            (f"case-{key}", 2),
        ]

    async def test_conflict_leaves_nothing_behind(self, store: Store) -> None:
        key = fresh()
        await store.append(plain(first(Noted(case_id=key))))
        with pytest.raises(ConflictError):
            await store.append(
                Append(
                    service="tester",
                    streams=(first(Noted(case_id=key)),),
                    inbox=(InboxMark(consumer="c", stream=key, before=0, version=4),),
                    timers=(Timer(service=key, key="t", due=NOON, kind="k", subject="s"),),
                    documents=(DocumentWrite(view=key, key="d", before=0, data=b"{}"),),
                )
            )
        assert await store.handled("c", key) == 0
        assert await store.next_timer(key) is None
        assert await store.document(key, "d") is None
        assert len(await store.pending_outbox("tester", older_than_s=0)) == 1

    async def test_head_with_another_hash_is_a_conflict(self, store: Store) -> None:
        key = fresh()
        await store.append(plain(first(Noted(case_id=key))))
        head = StreamHead(stream=f"case-{key}", version=1, hash="00" * 32)
        with pytest.raises(ConflictError):
            await store.append(plain(behind(head, Noted(case_id=key))))

    async def test_event_id_is_taken_once(self, store: Store) -> None:
        (recorded,) = await store.append(plain(first(Noted(case_id=fresh()))))
        again = first(Noted(case_id=fresh()))
        twin = msgspec.structs.replace(again.events[0], id=recorded.id)
        with pytest.raises(ConflictError):
            await store.append(plain(msgspec.structs.replace(again, events=(twin,))))
        with pytest.raises(ConflictError):
            await store.append(
                plain(msgspec.structs.replace(again, events=(again.events[0], again.events[0])))
            )
        assert await store.read_stream(again.head.stream) == []

    async def test_neighbours_of_a_refused_append_go_through(self, store: Store) -> None:
        key = fresh()
        await store.append(plain(first(Noted(case_id=key))))
        others = [fresh() for _ in range(10)]
        results = await asyncio.gather(
            *(store.append(plain(first(Noted(case_id=other)))) for other in others[:5]),
            store.append(plain(first(Noted(case_id=key)))),
            store.append(Append(service="tester", lease=LeaseClaim(name=key, epoch=1))),
            *(store.append(plain(first(Noted(case_id=other)))) for other in others[5:]),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, BaseException)]
        assert sorted(type(error).__name__ for error in errors) == ["ConflictError", "StaleLeaseError"]
        for other in others:
            assert len(await store.read_stream(f"case-{other}")) == 1

    async def test_one_of_fifty_writers_wins_each_version(self, store: Store) -> None:
        key, rounds = fresh(), 3
        for version in range(rounds):
            head = await head_of(store, f"case-{key}")
            results = await asyncio.gather(
                *(store.append(plain(behind(head, Noted(case_id=key, count=n)))) for n in range(50)),
                return_exceptions=True,
            )
            winners = [result for result in results if not isinstance(result, BaseException)]
            assert len(winners) == 1
            assert winners[0][0].version == version + 1
            assert sum(isinstance(result, ConflictError) for result in results) == 49
        assert (await store.verify(f"case-{key}")).version == rounds

    async def test_lease_must_be_of_the_epoch(self, store: Store, elapse: Elapse) -> None:
        name, key = fresh(), fresh()
        stream = first(Noted(case_id=key))
        with pytest.raises(StaleLeaseError):
            await store.append(
                Append(service="tester", streams=(stream,), lease=LeaseClaim(name=name, epoch=1))
            )
        lease = await store.acquire(name, "a", 10)
        assert lease is not None
        old = LeaseClaim(name=name, epoch=lease.epoch)
        await elapse(20)
        # Lapsed, but nobody has taken it over.
        await store.append(Append(service="tester", streams=(stream,), lease=old))
        taken = await store.acquire(name, "b", 10)
        assert taken is not None
        head = await head_of(store, f"case-{key}")
        late = behind(head, Noted(case_id=key, text="late"))
        with pytest.raises(StaleLeaseError) as refused:
            await store.append(Append(service="tester", streams=(late,), lease=old))
        assert (refused.value.name, refused.value.epoch) == (name, lease.epoch)
        assert await head_of(store, f"case-{key}") == head
        await store.append(
            Append(service="tester", streams=(late,), lease=LeaseClaim(name=name, epoch=taken.epoch))
        )

    async def test_inbox_moves_with_the_effect(self, store: Store) -> None:
        key = fresh()
        mark = InboxMark(consumer="c", stream=key, before=0, version=3)
        await store.append(Append(service="tester", streams=(first(Noted(case_id=key)),), inbox=(mark,)))
        assert await store.handled("c", key) == 3
        assert await store.handled("other", key) == 0
        again = fresh()
        with pytest.raises(DuplicateDeliveryError):
            await store.append(
                Append(service="tester", streams=(first(Noted(case_id=again)),), inbox=(mark,))
            )
        assert await store.read_stream(f"case-{again}") == []
        behind_the_row = InboxMark(consumer="c", stream=key, before=2, version=4)
        with pytest.raises(DuplicateDeliveryError):
            await store.append(Append(service="tester", inbox=(behind_the_row,)))
        await store.append(
            Append(service="tester", inbox=(InboxMark(consumer="c", stream=key, before=3, version=5),))
        )
        assert await store.handled("c", key) == 5

    async def test_several_inbox_rows_move_together_or_not_at_all(self, store: Store) -> None:
        new_one, old_one, key = fresh(), fresh(), fresh()
        await store.append(
            Append(service="tester", inbox=(InboxMark(consumer="c", stream=old_one, before=0, version=2),))
        )
        ahead = InboxMark(consumer="c", stream=new_one, before=0, version=1)
        behind_it = InboxMark(consumer="c", stream=old_one, before=1, version=3)
        with pytest.raises(DuplicateDeliveryError) as refused:
            await store.append(
                Append(service="tester", streams=(first(Noted(case_id=key)),), inbox=(ahead, behind_it))
            )
        assert (refused.value.consumer, refused.value.stream) == ("c", old_one)
        assert await store.handled("c", new_one) == 0
        assert await store.read_stream(f"case-{key}") == []
        right = InboxMark(consumer="c", stream=old_one, before=2, version=3)
        await store.append(Append(service="tester", inbox=(ahead, right)))
        assert [await store.handled("c", name) for name in (new_one, old_one)] == [1, 3]

    async def test_of_several_culprits_the_first_by_name_is_told(self, store: Store) -> None:
        names = sorted(fresh() for _ in range(4))
        marks = [InboxMark(consumer="c", stream=name, before=0, version=1) for name in names]
        writes = [DocumentWrite(view=names[0], key=name, before=0, data=b"{}") for name in names]
        streams = [first(Noted(case_id=name)) for name in names]
        # The second and the third of each kind are there already.
        await store.append(
            Append(
                service="tester",
                streams=tuple(streams[1:3]),
                inbox=tuple(marks[1:3]),
                documents=tuple(writes[1:3]),
            )
        )
        moved = {mark.stream: mark for mark in marks}
        moved[names[1]] = InboxMark(consumer="c", stream=names[1], before=7, version=8)
        every = Append(
            service="tester",
            streams=tuple(first(Noted(case_id=name)) for name in reversed(names)),
            inbox=tuple(reversed(moved.values())),
            documents=tuple(reversed(writes)),
        )
        with pytest.raises(DuplicateDeliveryError) as duplicate:
            await store.append(every)
        assert (duplicate.value.consumer, duplicate.value.stream) == ("c", names[1])
        every = msgspec.structs.replace(every, inbox=(marks[0],))
        for subject in (f"case-{names[1]}", f"{names[0]}/{names[1]}"):
            with pytest.raises(ConflictError) as conflict:
                await store.append(every)
            assert (conflict.value.stream, conflict.value.expected) == (subject, 0)
            every = msgspec.structs.replace(every, streams=())
        assert [await store.handled("c", name) for name in names] == [0, 1, 1, 0]
        assert await store.read_stream(f"case-{names[0]}") == []
        assert [await store.document(names[0], name) is None for name in names] == [True, False, False, True]

    @pytest.mark.parametrize("behind_it", [0, 1, 3], ids=["as-new", "behind", "ahead"])
    async def test_one_stream_that_is_elsewhere_holds_all_back(self, store: Store, behind_it: int) -> None:
        old, key, other = fresh(), fresh(), fresh()
        await store.append(plain(first(Noted(case_id=old)), first(Noted(case_id=key), Noted(case_id=key))))
        good, head = await head_of(store, f"case-{old}"), await head_of(store, f"case-{key}")
        wrong = msgspec.structs.replace(head, version=behind_it)
        for stream in (wrong, StreamHead(stream=f"case-{other}", version=1, hash=head.hash)):
            with pytest.raises(ConflictError) as refused:
                await store.append(
                    plain(
                        behind(good, Noted(case_id=old)),
                        behind(stream, Noted(case_id=stream.stream.removeprefix("case-"))),
                        first(Noted(case_id=fresh())),
                    )
                )
            assert (refused.value.stream, refused.value.expected) == (stream.stream, stream.version)
        assert [await head_of(store, f"case-{name}") for name in (old, key)] == [good, head]

    async def test_documents_are_made_changed_removed_and_left_away_together(self, store: Store) -> None:
        view = fresh()

        async def write(**documents: tuple[int, bytes | None]) -> None:
            writes = (
                DocumentWrite(view=view, key=key, before=before, data=data, sort=key)
                for key, (before, data) in documents.items()
            )
            await store.append(Append(service="tester", documents=tuple(writes)))

        async def kept() -> dict[str, tuple[int, bytes]]:
            found = [await store.document(view, key) for key in ("a", "b", "c", "d")]
            return {each.key: (each.version, each.data) for each in found if each}

        await write(a=(0, b"1"), c=(0, b"3"))
        await write(d=(0, None), c=(1, None), b=(0, b"2"), a=(1, b"[1]"))
        assert await kept() == {"a": (2, b"[1]"), "b": (1, b"2")}
        wrong: list[tuple[str, int, bytes | None]] = [
            ("a", 0, b"0"),
            ("a", 1, b"0"),
            ("a", 3, b"0"),
            ("a", 0, None),
            ("a", 1, None),
            ("c", 1, b"0"),
            ("c", 1, None),
        ]
        for key, before, data in wrong:
            with pytest.raises(ConflictError) as refused:
                await write(b=(1, b"20"), d=(0, b"4"), **{key: (before, data)})
            assert (refused.value.stream, refused.value.expected) == (f"{view}/{key}", before)
            assert await kept() == {"a": (2, b"[1]"), "b": (1, b"2")}

    async def test_each_of_many_at_once_gets_the_refusal_that_is_its_own(self, store: Store) -> None:
        view, keys = fresh(), [fresh() for _ in range(12)]

        def write(key: str, part: int) -> Append:
            return Append(
                service="tester",
                streams=(first(Noted(case_id=key)),) if part in (0, 3) else (),
                inbox=(InboxMark(consumer="c", stream=key, before=0, version=1),) if part in (1, 3) else (),
                documents=(DocumentWrite(view=view, key=key, before=0, data=b"{}"),) if part > 1 else (),
            )

        for place, key in enumerate(keys[:9]):
            await store.append(write(key, place % 3))
        results = await asyncio.gather(*(store.append(write(key, 3)) for key in keys), return_exceptions=True)
        kinds = [getattr(type(result), "__name__", "") for result in results]
        assert kinds == ["ConflictError", "DuplicateDeliveryError", "ConflictError"] * 3 + ["tuple"] * 3
        subjects = [getattr(result, "stream", None) for result in results[:9]]
        named = ("case-{}", "{}", view + "/{}")
        assert subjects == [named[place % 3].format(key) for place, key in enumerate(keys[:9])]

    async def test_a_refused_append_harms_none_that_is_made_beside_it(self, store: Store) -> None:
        taken, keys = fresh(), [fresh() for _ in range(20)]
        await store.append(plain(first(Noted(case_id=taken))))
        results = await asyncio.gather(
            *(store.append(plain(first(Noted(case_id=key), Noted(case_id=key, count=2)))) for key in keys),
            store.append(plain(first(Noted(case_id=taken)))),
            return_exceptions=True,
        )
        assert isinstance(results.pop(), ConflictError)
        for key, recorded in zip(keys, results, strict=True):
            assert not isinstance(recorded, BaseException)
            assert list(recorded) == await store.read_stream(f"case-{key}")

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(Noted(case_id="u", text="a\0b"), id="nul"),
            pytest.param(Noted(case_id="u", tags={"a\0": ""}), id="nul-in-a-key"),
            pytest.param(Noted(case_id="u", count=2**53), id="unsafe-integer"),
            pytest.param(Noted(case_id="u", amount=float("nan")), id="nan"),
            pytest.param(Noted(case_id="u", text="\ud800"), id="lone-surrogate"),
        ],
    )
    async def test_event_that_would_not_come_back_is_refused(self, store: Store, event: Noted) -> None:
        with pytest.raises(UnrecordableError):
            await store.append(plain(first(event)))
        assert await store.read_stream("case-u") == []

    async def test_malformed_appends_are_refused(self, store: Store) -> None:
        good = first(Noted(case_id="m"))
        without_zone = datetime(2026, 1, 1)  # noqa: DTZ001
        for change in ({"id": "7"}, {"id": good.events[0].id.upper()}, {"recorded_at": without_zone}):
            bad = msgspec.structs.replace(good, events=(msgspec.structs.replace(good.events[0], **change),))
            with pytest.raises(UnrecordableError):
                await store.append(plain(bad))
        with pytest.raises(UnrecordableError):
            await store.append(plain(behind(StreamHead(stream="case-n"), Noted(case_id="m"))))
        with pytest.raises(ValueError, match="streams once"):
            await store.append(plain(good, good))
        with pytest.raises(ValueError, match="streams once"):
            await store.append(plain(behind(StreamHead(stream="case-m"))))
        with pytest.raises(ValueError, match="forward"):
            await store.append(
                Append(service="tester", inbox=(InboxMark(consumer="c", stream="s", before=1, version=1),))
            )
        mark = InboxMark(consumer="c", stream="s", before=0, version=1)
        with pytest.raises(ValueError, match="inbox rows once"):
            await store.append(Append(service="tester", inbox=(mark, mark)))
        assert await store.read_stream("case-m") == []

    @settings(
        max_examples=20,
        deadline=None,
        # Examples share a store and never a stream; the heirs of this class are the differing executors.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        steps=st.lists(
            st.lists(
                st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(-1, 1)), min_size=1, max_size=3
            ),
            max_size=8,
        )
    )
    async def test_versions_have_no_gap_whatever_is_appended(
        self, store: Store, steps: list[list[tuple[int, int, int]]]
    ) -> None:
        keys = [fresh() for _ in range(3)]
        expected = [0, 0, 0]
        for step in steps:
            streams, wanted = [], list(expected)
            for which, count, off in {which: (which, count, off) for which, count, off in step}.values():
                head = await head_of(store, f"case-{keys[which]}")
                # Now and then a head that the stream has left, or has not reached yet.
                head = msgspec.structs.replace(head, version=max(head.version + off, 0))
                streams.append(behind(head, *(Noted(case_id=keys[which], count=n) for n in range(count))))
                wanted[which] += count if head.version == expected[which] else 1_000
            if max(wanted) < 1_000:
                await store.append(plain(*streams))
                expected = wanted
            else:
                with pytest.raises(ConflictError):
                    await store.append(plain(*streams))
        for key, versions in zip(keys, expected, strict=True):
            events = await store.read_stream(f"case-{key}")
            assert [event.version for event in events] == list(range(1, versions + 1))
            assert (await store.verify(f"case-{key}")).version == versions
