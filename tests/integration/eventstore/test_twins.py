"""Memory and Postgres answer any sequence of appends alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.message import Recorded
from libs.eventstore.memory import MemoryStore
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import (
    Append,
    Cursor,
    DocumentWrite,
    EventStoreError,
    InboxMark,
    LeaseClaim,
    Store,
    Timer,
    TimerClear,
)
from libs.testing.clock import ManualClock
from libs.testing.samples import Closed, Noted, behind, fresh, head_of, registry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SMALL = st.integers(0, 2)


class Plan(msgspec.Struct, frozen=True):
    """An append in outline; keys become names of one example."""

    streams: dict[int, tuple[int, bool, int]]
    inbox: tuple[int, int] | None
    lease: int | None
    timers: list[tuple[int, int]]
    cleared: list[int]
    documents: dict[int, tuple[int, bool]]


plans = st.builds(
    Plan,
    streams=st.dictionaries(
        SMALL, st.tuples(st.integers(1, 3), st.booleans(), SMALL.map(lambda n: n % 2)), max_size=2
    ),
    inbox=st.none() | st.tuples(SMALL, SMALL).map(lambda mark: (mark[0], mark[0] + mark[1] + 1)),
    lease=st.none() | st.integers(1, 2),
    timers=st.lists(st.tuples(SMALL, SMALL), max_size=3),
    cleared=st.lists(SMALL, max_size=2),
    documents=st.dictionaries(SMALL, st.tuples(SMALL, st.booleans()), max_size=2),
)


async def carry_out(plan: Plan, base: str, stores: tuple[Store, Store]) -> list[object]:
    streams = []
    for key, (count, closes, off) in plan.streams.items():
        name = f"{base}{key}"
        head = await head_of(stores[0], f"case-{name}")
        assert head == await head_of(stores[1], f"case-{name}")
        head = msgspec.structs.replace(head, version=head.version + off)
        events = [Noted(case_id=name, count=n) for n in range(count)] + [Closed(case_id=name)] * closes
        streams.append(behind(head, *events))
    append = Append(
        service=base,
        streams=tuple(streams),
        inbox=(InboxMark(consumer=base, stream="s", before=plan.inbox[0], version=plan.inbox[1]),)
        if plan.inbox
        else (),
        lease=LeaseClaim(name=base, epoch=plan.lease) if plan.lease else None,
        timers=tuple(
            Timer(service=base, key=str(key), due=NOON + timedelta(minutes=due), kind="k", subject="s")
            for key, due in plan.timers
        ),
        clear_timers=tuple(TimerClear(service=base, key=str(key)) for key in plan.cleared),
        documents=tuple(
            DocumentWrite(
                view=base, key=str(key), before=before, data=None if gone else b"{}", sort=str(before)
            )
            for key, (before, gone) in plan.documents.items()
        ),
    )
    outcomes: list[object] = []
    for store in stores:
        try:
            outcomes.append([without_place(event) for event in await store.append(append)])
        except EventStoreError as error:
            outcomes.append((type(error), str(error)))
    return outcomes


def without_place(event: Recorded) -> Recorded:
    return msgspec.structs.replace(event, position=0, xid=0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(plans, min_size=1, max_size=6))
async def test_twins_agree(store: PostgresStore, steps: list[Plan]) -> None:
    base = fresh()
    stores: tuple[Store, Store] = (MemoryStore(registry, ManualClock()), store)
    start = await store.cursor_of(2**40)
    for twin in stores:
        assert await twin.acquire(base, "h", 1) is not None
    for plan in steps:
        in_memory, in_postgres = await carry_out(plan, base, stores)
        assert in_memory == in_postgres
    seen = []
    for twin, after in zip(stores, (Cursor(), start), strict=True):
        seen.append(
            (
                [without_place(event) for event in await twin.read_all(after)],
                await twin.handled(base, "s"),
                await twin.due_timers(base, NOON + timedelta(hours=1)),
                await twin.documents(base),
                [head for head in await twin.heads("case") if head.stream.startswith(f"case-{base}")],
                [without_place(event) for event in await twin.pending_outbox(base, older_than_s=-1)],
            )
        )
    assert seen[0] == seen[1]
