"""What every implementation of the record must do with generations of documents, and with snapshots."""

from __future__ import annotations

import msgspec
import pytest

from contracts.message import Recorded
from libs.eventstore.store import (
    Append,
    Condition,
    ConflictError,
    Cursor,
    CursorMark,
    DocumentWrite,
    EventStoreError,
    Generation,
    HoldMark,
    LeaseClaim,
    Projection,
    Snapshot,
    StaleLeaseError,
    Store,
    Switch,
)
from libs.testing.samples import Noted, first, fresh, plain


def place(event: Recorded) -> Cursor:
    """Return where an event stands in the reading order."""
    return Cursor(xid=event.xid, position=event.position)


class House:
    """A projection of one view, the lease of its service, and its follower."""

    def __init__(self, store: Store) -> None:
        self.store, self.name = store, fresh()
        self.view, self.consumer = f"v{self.name}", f"c{self.name}"
        self.claim = LeaseClaim(name=self.name, epoch=1)

    async def open(self) -> Projection:
        """Take the lease and make the projection known."""
        assert await self.store.acquire(self.name, "holder", 60)
        return await self.store.register(self.name, [self.view], 1)

    async def write(
        self, number: int | None, key: str, data: bytes | None, before: int = 0, *, building: bool = False
    ) -> None:
        """Write a document into a generation."""
        write = DocumentWrite(view=self.view, key=key, before=before, data=data, sort=key)
        generation = (
            None if number is None else Generation(projection=self.name, number=number, building=building)
        )
        await self.store.append(Append(service="tester", documents=(write,), generation=generation))

    async def handle(self, event: Recorded, *, holding: str) -> None:
        """Move the follower's cursor to an event, and hold a stream back."""
        before = await self.store.follower(self.consumer, ())
        mark = CursorMark(consumer=self.consumer, before=before, after=place(event))
        hold = HoldMark(consumer=self.consumer, stream=holding, before=None, version=0)
        await self.store.append(Append(service="tester", cursor=mark, holds=(hold,)))

    def to(self, number: int, upto: Cursor, *, leaving: int = 0, epoch: int = 1) -> Switch:
        """Ask for another generation to be read."""
        return Switch(
            lease=LeaseClaim(name=self.name, epoch=epoch),
            name=self.name,
            generation=leaving,
            to=number,
            version=2,
            views=(self.view,),
            consumer=self.consumer,
            upto=upto,
        )

    async def read(self, generation: int | None = None) -> dict[str, bytes]:
        """Return what is read of the view, or of one generation of it."""
        found = await self.store.documents(self.view, generation=generation)
        return {document.key: document.data for document in found}


class GenerationCase:
    """Generations: written apart, switched at once, compared, removed; snapshots."""

    async def test_another_generation_is_read_only_after_the_switch(self, store: Store) -> None:
        house = House(store)
        await house.write(None, "a", b'"old"')
        assert await house.open() == Projection(name=house.name, generation=0, version=1, views=(house.view,))
        await house.write(0, "b", b'"old"')
        await house.write(4, "a", b'"new"', building=True)
        assert await house.read() == {"a": b'"old"', "b": b'"old"'}
        assert await house.read(generation=4) == {"a": b'"new"'}
        with pytest.raises(ConflictError):
            await house.write(4, "c", b'"early"')
        await store.switch(house.to(4, Cursor()))
        assert await house.read() == {"a": b'"new"'}
        one = await store.document(house.view, "a")
        assert one is not None
        assert (one.data, one.version, one.sort) == (b'"new"', 1, "a")
        assert await store.document(house.view, "b") is None
        assert await store.register(house.name, ["other"], 9) == Projection(
            name=house.name, generation=4, version=2, views=(house.view,)
        )
        for number, before in ((0, 1), (3, 0)):
            with pytest.raises(ConflictError):
                await house.write(number, "b", b'"late"', before)
        await house.write(4, "a", b'"newer"', 1)
        assert await house.read() == {"a": b'"newer"'}

    async def test_a_switch_is_refused_without_the_lease_or_from_another_generation(
        self, store: Store
    ) -> None:
        house = House(store)
        await house.open()
        with pytest.raises(StaleLeaseError):
            await store.switch(house.to(4, Cursor(), epoch=2))
        with pytest.raises(ConflictError):
            await store.switch(house.to(4, Cursor(), leaving=3))
        assert (await store.register(house.name, [house.view], 1)).generation == 0

    async def test_the_follower_goes_on_behind_what_the_new_generation_holds(self, store: Store) -> None:
        house = House(store)
        await house.open()
        key = fresh()
        events = await store.append(plain(first(*(Noted(case_id=key, count=n) for n in range(3)))))
        await house.handle(events[1], holding=f"case-{key}")
        # What is in use has got further than that.
        with pytest.raises(ConflictError):
            await store.switch(house.to(4, place(events[0])))
        assert (await store.register(house.name, [], 1)).generation == 0
        assert await store.held_back(house.consumer) == {f"case-{key}": 0}
        await store.switch(house.to(4, place(events[1])))
        assert await store.follower(house.consumer, ()) == place(events[1])
        await store.switch(house.to(5, place(events[2]), leaving=4))
        assert await store.follower(house.consumer, ()) == place(events[2])
        assert await store.held_back(house.consumer) == {}

    async def test_the_first_code_of_a_projection_has_written_nothing_yet(self, store: Store) -> None:
        house = House(store)
        registered = await store.register(house.name, [house.view], 7)
        assert registered == Projection(name=house.name, generation=0, version=7, views=(house.view,))

    async def test_a_generation_that_is_not_read_is_removed_in_pieces(self, store: Store) -> None:
        house = House(store)
        await house.open()
        for n in range(5):
            await house.write(0, f"k{n}", b"1")
            await house.write(7, f"k{n}", b"2", building=True)
        assert await store.generations([house.view]) == [0, 7]
        with pytest.raises(EventStoreError):
            await store.discard([house.view], 0)
        assert [await store.discard([house.view], 7, most=3) for _ in range(3)] == [3, 2, 0]
        assert await store.generations([house.view]) == [0]
        assert len(await house.read()) == 5

    async def test_generations_are_compared_by_what_they_say(self, store: Store) -> None:
        house = House(store)
        await house.open()
        said = {"a": b'{"n": 1, "m": [2]}', "b": b"1", "c": b"[1, 2]", "d": b"1"}
        other = {"a": b'{"m":[2],"n":1}', "b": b"2", "c": b"[2, 1]", "e": b"1"}
        for number, documents in ((0, said), (7, other)):
            for key, data in documents.items():
                await house.write(number, key, data, building=True)
        expected = [("a", True), ("b", False), ("c", False), ("d", False), ("e", False)]
        assert await store.compare(house.view, (0, 7), "") == expected
        assert await store.compare(house.view, (0, 7), "b", limit=2) == expected[2:4]
        assert await store.compare(house.view, (0, 7), "e") == []

    async def test_a_snapshot_gives_way_to_a_later_one_and_to_that_of_other_code(self, store: Store) -> None:
        stream = f"case-{fresh()}"

        def snapshot(version: int, fingerprint: str = "f") -> Snapshot:
            return Snapshot(
                stream=stream,
                fingerprint=fingerprint,
                version=version,
                hash="h",
                state='{"é":1}',
                digest="d",
            )

        assert await store.snapshot(stream) is None
        for given, kept in (
            (snapshot(5), snapshot(5)),
            (snapshot(4), snapshot(5)),
            (snapshot(6), snapshot(6)),
            (snapshot(2, "g"), snapshot(2, "g")),
        ):
            await store.save_snapshot(given)
            assert await store.snapshot(stream) == kept

    async def test_a_failed_rebuild_is_one_condition_from_its_beginning_to_its_end(
        self, store: Store
    ) -> None:
        house = House(store)
        await house.open()

        async def known() -> list[Condition]:
            return [one for one in await store.conditions(within_s=60) if one.subject == house.name]

        await store.note_rebuild(house.claim, house.name, "")
        assert await known() == []
        for reason in ("of no use", "another"):
            await store.note_rebuild(house.claim, house.name, reason)
        (begun,) = await known()
        assert (begun.kind, begun.reason, begun.ended) == ("rebuild_failed", "of no use", None)
        for _ in range(2):
            await store.note_rebuild(house.claim, house.name, "")
        (ended,) = await known()
        assert ended == msgspec.structs.replace(begun, ended=ended.ended)
        assert ended.ended is not None
        assert [one for one in await store.conditions(within_s=0) if one.subject == house.name] == []

    async def test_an_error_of_any_text_is_kept_as_a_reason(self, store: Store) -> None:
        house = House(store)
        await house.open()
        await store.note_rebuild(house.claim, house.name, "of no use: \0 \ud800 é")
        (begun,) = [one for one in await store.conditions(within_s=60) if one.subject == house.name]
        assert begun.reason.startswith("of no use: ")
        assert begun.reason.endswith("é")

    async def test_what_became_of_a_rebuild_is_said_under_the_lease(self, store: Store) -> None:
        house = House(store)
        await house.open()
        for failure in ("of no use", ""):
            with pytest.raises(StaleLeaseError):
                await store.note_rebuild(LeaseClaim(name=house.name, epoch=2), house.name, failure)
        assert [one for one in await store.conditions(within_s=60) if one.subject == house.name] == []
