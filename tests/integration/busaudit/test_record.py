"""What the auditor reads and writes in the record, the same in memory and in Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.busaudit.memory import MemoryRecord
from libs.busaudit.ports import RecordView, Wanted
from libs.busaudit.postgres import PostgresRecord
from libs.busaudit.sight import Notes, Sight
from libs.eventstore.memory import MemoryStore
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Append, Cursor, InboxMark, LeaseClaim, StaleLeaseError, Store
from libs.testing.clock import ManualClock
from libs.testing.postgres import OWNER, TestPostgres
from libs.testing.samples import Aside, Closed, Noted, first, plain, registry

NOTES, ALL = Wanted(durable="tester-notes", types=("noted",)), Wanted(durable="tester-all", types=None)
SEEN = Notes(
    epoch=3,
    sight=Sight(
        server="s",
        created=ManualClock().now(),
        messages=0,
        bytes=0,
        first_seq=1,
        first_at=ManualClock().now(),
        last_seq=0,
        deleted=0,
        max_age_s=1.0,
        max_bytes=1,
    ),
    compared=0,
)


class Place:
    """A record, and auditors of it."""

    def __init__(self, store: Store, make: Any, lapse: Any) -> None:
        self.store, self.make, self.lapse = store, make, lapse

    async def handle(self, wanted: Wanted, stream: str, before: int, version: int) -> None:
        mark = InboxMark(consumer=wanted.durable, stream=stream, before=before, version=version)
        await self.store.append(Append(service="tester", inbox=(mark,)))


@pytest.fixture(params=["memory", "postgres"])
async def place(request: pytest.FixtureRequest, postgres: TestPostgres) -> AsyncIterator[Place]:
    if request.param == "memory":
        clock = ManualClock()
        store = MemoryStore(registry, clock)

        async def one(holder: str) -> RecordView:
            return MemoryRecord(store, holder)

        async def pass_by() -> None:
            clock.advance(10)

        yield Place(store, one, pass_by)
        return
    async with postgres.database() as name:
        real = await PostgresStore.connect(postgres.dsn(name), registry)
        made: list[PostgresRecord] = []

        async def another(holder: str) -> RecordView:
            made.append(await PostgresRecord.connect(postgres.dsn(name, OWNER), registry, holder))
            return made[-1]

        async def lapse() -> None:
            (lease,) = [lease for lease in await real.leases() if lease.name == "bus-auditor"]
            await real.release(lease.name, lease.epoch)

        yield Place(real, another, lapse)
        for record in made:
            await record.close()
        await real.close()


async def leading(place: Place, holder: str = "one") -> tuple[RecordView, LeaseClaim]:
    record = await place.make(holder)
    claim = await record.lead()
    assert claim is not None
    return record, claim


async def test_one_auditor_leads_and_keeps_its_claim(place: Place) -> None:
    record, claim = await leading(place)
    other = await place.make("other")
    assert await other.lead() is None
    assert await record.lead() == claim
    await place.lapse()
    taken = await other.lead()
    assert taken is not None
    assert taken.epoch > claim.epoch
    assert await record.lead() is None


async def test_who_lost_the_lease_writes_nothing(place: Place) -> None:
    record, claim = await leading(place)
    await record.begin(claim, 1, "sound", "")
    await place.store.append(plain(first(Noted(case_id="a"))))
    await place.store.published([event.position for event in await record_of(place)])
    await place.lapse()
    _, newer = await leading(place, "other")
    assert newer.epoch > claim.epoch
    for writing in (
        record.keep(claim, SEEN),
        record.begin(claim, 2, "rebuilding", "late"),
        record.enter(claim, 1, "rebuilt"),
        record.requeue(claim, [ALL], (0, 0)),
    ):
        with pytest.raises(StaleLeaseError):
            await writing
    assert await record.remembered() is None
    assert (await record.epoch()).epoch == 1
    assert (await record.epoch()).sound
    assert await place.store.pending_outbox("tester", older_than_s=0) == []


async def test_what_waits_counts_while_a_relay_tries(place: Place) -> None:
    record, _ = await leading(place)
    await place.store.append(plain(first(Noted(case_id="a"))))
    assert await record.waits_s() == 0.0
    lease = await place.store.acquire("relay-tester", "one", 10.0)
    assert lease is not None
    await place.lapse()
    assert await record.waits_s() > 0.0
    await place.store.published([event.position for event in await record_of(place)])
    assert await record.waits_s() == 0.0


async def record_of(place: Place) -> list[Any]:
    return await place.store.read_all(Cursor())


async def test_an_epoch_goes_through_its_states_and_is_seen_by_the_services(place: Place) -> None:
    record, claim = await leading(place)
    assert (await place.store.bus_epoch()).epoch == 0
    await record.begin(claim, 1, "sound", "")
    await record.begin(claim, 2, "rebuilding", "it lost something")
    # Said twice around a crash.
    await record.begin(claim, 2, "rebuilding", "something else")
    found = await place.store.bus_epoch()
    assert (found.epoch, found.state, found.reason) == (2, "rebuilding", "it lost something")
    (condition,) = await place.store.conditions(within_s=60)
    assert (condition.kind, condition.subject, condition.reason, condition.ended) == (
        "bus_epoch",
        "2",
        "it lost something",
        None,
    )
    for state in ("rebuilt", "republishing", "sound"):
        await record.enter(claim, 2, state)
        assert (await place.store.bus_epoch()).state == state
    assert (await place.store.bus_epoch()).sound
    (over,) = await place.store.conditions(within_s=60)
    assert (over.began, over.ended is None) == (condition.began, False)


async def test_what_was_seen_is_remembered(place: Place) -> None:
    record, claim = await leading(place)
    assert await record.remembered() is None
    await record.keep(claim, SEEN)
    await record.keep(claim, SEEN)
    assert await record.remembered() == SEEN


async def test_open_is_what_a_consumer_takes_and_has_not_handled(place: Place) -> None:
    record, _ = await leading(place)
    a = await place.store.append(plain(first(Noted(case_id="a"), Noted(case_id="a"), Closed(case_id="a"))))
    b = await place.store.append(plain(first(Aside(case_id="b"))))
    await place.store.published([a[0].position, a[1].position])
    await place.handle(ALL, "case-a", 0, 1)
    stretch = await record.stretch([NOTES, ALL], (0, 0), 10)
    assert stretch.size == 4
    assert stretch.end == (b[0].xid, b[0].position)
    assert stretch.settled == (0, 0)
    assert {(one.durable, one.stream, one.version, one.waiting) for one in stretch.open} == {
        ("tester-notes", "case-a", 1, False),
        ("tester-notes", "case-a", 2, False),
        ("tester-all", "case-a", 2, False),
        ("tester-all", "case-a", 3, True),
        ("tester-all", "side-b", 1, True),
    }
    await place.handle(NOTES, "case-a", 0, 2)
    assert (await record.stretch([NOTES, ALL], (0, 0), 10)).settled == (a[0].xid, a[0].position)
    await place.handle(ALL, "case-a", 1, 3)
    assert (await record.stretch([NOTES, ALL], (0, 0), 10)).settled == (a[2].xid, a[2].position)
    await place.handle(ALL, "side-b", 0, 1)
    done = await record.stretch([NOTES, ALL], (0, 0), 10)
    assert (done.settled, done.open) == (done.end, ())
    assert (await record.stretch([ALL], done.end, 10)).end == done.end


async def test_a_stretch_can_be_cut_and_asked_about_some_events_only(place: Place) -> None:
    record, _ = await leading(place)
    a = await place.store.append(plain(first(*[Noted(case_id="a")] * 5)))
    cut = await record.stretch([ALL], (a[0].xid, a[0].position), 2)
    assert [one.version for one in cut.open] == [2, 3]
    assert cut.end == (a[2].xid, a[2].position)
    some = await record.stretch([ALL], (0, 0), 10, among=[a[3].id])
    assert [one.event_id for one in some.open] == [a[3].id]
    assert some.open[0].age_s < 60


async def test_a_requeue_puts_back_what_is_open_and_tells_when_it_is_out_again(place: Place) -> None:
    record, claim = await leading(place)
    events = await place.store.append(
        plain(first(Noted(case_id="a"), Closed(case_id="a")), first(Aside(case_id="b")))
    )
    await place.store.published([event.position for event in events])
    await place.handle(ALL, "case-a", 0, 2)
    await record.begin(claim, 2, "rebuilt", "lost")
    assert await record.requeue(claim, [NOTES, ALL], (0, 0)) == 2
    await record.enter(claim, 2, "republishing")
    waiting = await place.store.pending_outbox("tester", older_than_s=timedelta(seconds=1).total_seconds())
    assert {(event.stream, event.version) for event in waiting} == {("case-a", 1), ("side-b", 1)}
    assert not await record.republished(2)
    # What is recorded meanwhile is no matter of this epoch.
    await place.store.append(plain(first(Aside(case_id="later"))))
    await place.store.published([event.position for event in waiting])
    assert await record.republished(2)
