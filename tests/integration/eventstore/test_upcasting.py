"""A record that several releases have written: each reads what it can, carries what it cannot, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.message import Registry, Unknown
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Cursor
from libs.messaging import cloudevents
from libs.testing.invariants import chain_holds
from libs.testing.releases import Weighed, first_release, today
from libs.testing.samples import behind, first, head_of, plain


@pytest.fixture
async def stores(dsn: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """The first release's view of the record, and today's."""
    opened = [await PostgresStore.connect(dsn, known) for known in (Registry((first_release(),)), today)]
    yield opened[0], opened[1]
    for store in opened:
        await store.close()


async def test_two_releases_share_a_record(stores: tuple[PostgresStore, PostgresStore]) -> None:
    older, newer = stores
    old: Any = first_release()
    (written,) = await older.append(plain(first(old(parcel_id="p", pounds=4.0))))
    (added,) = await newer.append(
        plain(behind(await head_of(newer, "parcel-p"), Weighed(parcel_id="p", grams=7)))
    )
    found = await newer.read_stream("parcel-p")
    assert [event.event for event in found] == [Weighed(parcel_id="p", grams=n) for n in (2000, 7)]
    assert [(event.schema_version, event.hash) for event in found] == [(1, written.hash), (3, added.hash)]
    carried = [event async for event in older.scan(Cursor())]
    assert carried[0].event == written.event
    assert carried[1].event == Unknown(type="weighed", data={"type": "weighed", "parcel_id": "p", "grams": 7})
    for store in stores:
        assert (await store.verify("parcel-p")).hash == added.hash
        assert list(chain_holds(await store.read_all(Cursor()))) == []


async def test_the_relay_of_an_older_release_passes_on_what_a_newer_one_wrote(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    older, newer = stores
    await newer.append(plain(first(Weighed(parcel_id="p", grams=7))))
    (pending,) = await older.pending_outbox("tester", older_than_s=-1)
    message = cloudevents.encode(pending)
    assert cloudevents.decode(today, message.headers, message.payload).event == Weighed(
        parcel_id="p", grams=7
    )
