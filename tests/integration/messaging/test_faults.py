"""The bus under faults of the server: nothing that was confirmed is lost, and nobody waits for long."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from contracts.message import Recorded
from libs.messaging import cloudevents
from libs.messaging.bus import BusUnavailableError, RefusedError
from libs.messaging.connection import Connection
from libs.messaging.jetstream import JetStreamBus, JetStreamDelivery
from libs.messaging.outcome import Reject, settle
from libs.messaging.publishing import PATIENCE_S
from libs.testing.buscase import DEADLINE_S, NOON, eventually_lag, notes, recorded, take
from libs.testing.nats import EmbeddedServer, TestNats
from libs.testing.samples import Noted

STREAMS, LENGTH = 20, 100


@pytest.fixture
async def keeper(nats: TestNats, services: Any) -> JetStreamBus:
    bus: JetStreamBus = await services.connect("keeper")
    return bus


async def stored_ids(keeper: JetStreamBus) -> list[str]:
    """Read every event of the stream through the durable; what comes again is no other event."""
    ids: dict[int, str] = {}
    while sum(await keeper.lag("keeper-notes")):
        for delivery in await keeper.fetch("keeper-notes", 8, 1.0):
            assert isinstance(delivery, JetStreamDelivery)
            ids[delivery.sequence] = delivery.recorded.id
            await delivery.ack()
    return [*ids.values()]


@pytest.mark.parametrize("after", [0, 150, 700])
async def test_a_server_killed_in_mid_publish_loses_nothing_that_it_confirmed(
    admin: Connection, nats: TestNats, keeper: JetStreamBus, after: int
) -> None:
    events = [event for number in range(STREAMS) for event in notes(f"s{number}", LENGTH)]
    publishing = asyncio.create_task(keeper.publish(events))

    async def stored() -> int:
        info = await admin.request("$JS.API.STREAM.INFO.EVENTS", type_=dict[str, Any])
        return int(info["state"]["messages"])

    while await stored() < after:
        await asyncio.sleep(0)
    nats.server.kill()
    async with asyncio.timeout(DEADLINE_S):
        confirmed = await publishing
    for number in range(STREAMS):
        versions = [event.version for event in confirmed if event.stream == f"case-s{number}"]
        assert versions == list(range(1, len(versions) + 1))
    await nats.start()
    # What the outbox does: everything that was not confirmed is published again, in order.
    rest = [event for event in events if event.id not in {each.id for each in confirmed}]
    until = time.monotonic() + DEADLINE_S
    while rest:
        assert time.monotonic() < until
        published = {event.id for event in await keeper.publish(rest)}
        rest = [event for event in rest if event.id not in published]
        await asyncio.sleep(0.02)
    ids = await stored_ids(keeper)
    assert set(ids) == {event.id for event in events}
    assert len(ids) == len(events)


async def test_a_server_that_hangs_holds_nobody_for_more_than_five_seconds(
    nats: TestNats, keeper: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(nats.server, EmbeddedServer):
        pytest.skip("only the embedded server can be paused")
    # What a server is given to answer; how long a busy machine takes over the rest is the machine's.
    assert PATIENCE_S < 5.0
    monkeypatch.setattr(keeper._publisher, "_patience_s", 0.5)
    events = notes("a", 3)
    nats.server.pause()
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert await keeper.publish(events) == []
            assert await keeper.fetch("keeper-notes", 1, 0.5) == []
    finally:
        nats.server.resume()
    until = time.monotonic() + DEADLINE_S
    while await keeper.publish(events) != events:
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    assert [each.recorded for each in await take(keeper, "keeper-notes", 3)] == events


async def test_a_server_that_is_not_there_is_told_in_time() -> None:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BusUnavailableError, match=r"not reached within 0\.3 s"):
            await Connection.open(
                "nats://127.0.0.1:1", user="keeper", password="", name="keeper", timeout_s=0.3
            )


async def test_a_client_that_gave_up_is_replaced(keeper: JetStreamBus) -> None:
    first, second = notes("a", 2)
    await keeper.publish([first])
    assert len(await take(keeper, "keeper-notes", 1)) == 1
    client = keeper._connection._client
    # The server ends the connection with an error after which the client, by its own rules, never comes back.
    client._max_payload = 1_000_000_000
    await client.publish("autopilot.v1.case.a.noted", b"x" * 2_000_000)
    until = time.monotonic() + DEADLINE_S
    while keeper._connection._client is client or await keeper.publish([second]) != [second]:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    assert {each.recorded.version for each in await take(keeper, "keeper-notes", 1)} <= {1, 2}
    assert keeper.healthy


async def test_a_dead_letter_is_written_before_the_message_ends(
    admin: Connection, nats: TestNats, keeper: JetStreamBus
) -> None:
    await keeper.publish(notes("a", 1))
    await admin.request("$JS.API.STREAM.DELETE.DEADLETTER", type_=dict[str, Any])
    (delivery,) = await take(keeper, "keeper-notes", 1)
    with pytest.raises(BusUnavailableError):
        await keeper.dead_letter(delivery, "keeper-notes", "no", NOON)
    assert await keeper.lag("keeper-notes") == (0, 1)
    await nats.ensure()
    (again,) = await take(keeper, "keeper-notes", 1)
    await settle(keeper, again, "keeper-notes", Reject("no"), NOON)
    await eventually_lag(keeper, "keeper-notes", (0, 0))
    assert len(await keeper.dead_letters()) == 1


async def test_a_process_that_dies_between_letter_and_term_leaves_one_letter(
    nats: TestNats, services: Any
) -> None:
    dying = await services.connect("keeper")
    await dying.publish(notes("a", 1))
    (delivery,) = await take(dying, "keeper-notes", 1)

    async def die() -> None:
        raise asyncio.CancelledError

    delivery.term = die  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await dying.dead_letter(delivery, "keeper-notes", "no", NOON)
    successor = await services.connect("keeper")
    (again,) = await take(successor, "keeper-notes", 1)
    await successor.dead_letter(again, "keeper-notes", "no", NOON)
    assert len(await successor.dead_letters()) == 1


async def test_an_event_that_is_too_large_is_refused_and_the_others_are_published(
    keeper: JetStreamBus,
) -> None:
    large = recorded(Noted(case_id="large", text="x" * 2_000_000), 1)
    small = notes("small", 1)
    with pytest.raises(RefusedError) as refusal:
        await keeper.publish([large, *small])
    assert refusal.value.confirmed == small
    assert await keeper.publish(small) == small


@pytest.mark.parametrize(("subject", "size"), [("autopilot.v1.case.a.noted", 2_000_000), ("a b", 1), ("", 1)])
async def test_what_would_end_the_connection_is_not_sent(admin: Connection, subject: str, size: int) -> None:
    with pytest.raises(BusUnavailableError):
        admin.send(subject, b"x" * size)
    assert admin.connected
    assert await admin.request("$JS.API.INFO", type_=dict[str, Any])


async def test_an_undecodable_giant_still_gets_its_letter(
    admin: Connection, nats: TestNats, keeper: JetStreamBus
) -> None:
    headers = cloudevents.encode(recorded(Noted(case_id="a"), 1)).headers
    admin.send("autopilot.v1.case.a.noted", b"x" * 900_000, headers=headers)
    await keeper.fetch("keeper-notes", 1, 5.0)
    (letter,) = await keeper.dead_letters()
    assert (letter.event_id, len(letter.raw)) == (headers["ce-id"], 4_096)


async def test_what_arrives_for_a_cancelled_fetch_is_not_lost(keeper: JetStreamBus) -> None:
    fetching = asyncio.create_task(keeper.fetch("keeper-notes", 8, 30.0))
    while not fetching.done() and await keeper.lag("keeper-notes") != (0, 0):
        await asyncio.sleep(0)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    events = notes("a", 8)
    await keeper.publish(events)
    taken: list[Recorded] = [each.recorded for each in await take(keeper, "keeper-notes", 8)]
    assert taken == events


async def test_more_dead_letters_than_one_page_are_listed_newest_first(
    admin: Connection, nats: TestNats, keeper: JetStreamBus
) -> None:
    events = notes("a", 30)
    await keeper.publish(events)
    for _ in events:
        (delivery,) = await take(keeper, "keeper-notes", 1)
        await settle(keeper, delivery, "keeper-notes", Reject("no"), NOON)
    for sequence in range(8, 28):
        body = {"seq": sequence, "no_erase": True}
        await admin.request("$JS.API.STREAM.MSG.DELETE.DEADLETTER", body, type_=dict[str, Any])
    versions = [letter.version for letter in await keeper.dead_letters(limit=8)]
    assert versions == [30, 29, 28, 7, 6, 5, 4, 3]
    assert [letter.version for letter in await keeper.dead_letters()] == [30, 29, 28, 7, 6, 5, 4, 3, 2, 1]
