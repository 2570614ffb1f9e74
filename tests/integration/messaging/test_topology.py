"""What the supervisor keeps true on a server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from libs.messaging.admin import Changes, ensure_topology
from libs.messaging.bus import BusUnavailableError, ConsumerSpec, RefusedError
from libs.messaging.connection import Connection
from libs.messaging.topology import ADMIN, EVENTS, Topology
from libs.testing.buscase import TOPOLOGY, notes, take
from libs.testing.nats import PASSWORD, TestNats


async def ensure(nats: TestNats, topology: Topology = TOPOLOGY) -> Changes:
    return await ensure_topology(nats.url, ADMIN, PASSWORD, topology)


async def info(admin: Connection, subject: str) -> Any:
    return await admin.request(f"$JS.API.{subject}", type_=dict[str, Any])


def with_consumer(**changes: Any) -> Topology:
    first, *others = TOPOLOGY.consumers
    return msgspec.structs.replace(TOPOLOGY, consumers=(msgspec.structs.replace(first, **changes), *others))


async def test_what_is_right_is_left_alone(nats: TestNats) -> None:
    assert await ensure(nats) == Changes()


async def test_everything_is_made_on_an_empty_server(own_nats: TestNats) -> None:
    await own_nats.start()
    own_nats.server.kill()
    own_nats.server.wipe()
    own_nats.server.start()
    while True:
        try:
            changes = await ensure(own_nats)
            break
        except BusUnavailableError:
            continue
    assert changes.created == ("EVENTS", "DEADLETTER", "CONTROL", "keeper-notes", "watcher-all")


async def test_a_changed_declaration_is_carried_over_and_keeps_the_place(
    nats: TestNats, services: Any
) -> None:
    bus = await services.connect("keeper")
    await bus.publish(notes("a", 2))
    (first,) = await take(bus, "keeper-notes", 1)
    await first.ack()
    wider = with_consumer(filters=("autopilot.v1.case.*.closed", "autopilot.v1.case.*.noted"), ack_wait_s=7)
    assert await ensure(nats, wider) == Changes(updated=("keeper-notes",))
    assert await ensure(nats, wider) == Changes()
    assert [each.recorded.version for each in await take(bus, "keeper-notes", 1)] == [2]


async def test_a_consumer_that_cannot_be_changed_is_made_anew(admin: Connection, nats: TestNats) -> None:
    await info(admin, "CONSUMER.DELETE.EVENTS.keeper-notes")
    odd = {
        "name": "keeper-notes",
        "durable_name": "keeper-notes",
        "ack_policy": "all",
        "deliver_policy": "new",
    }
    body = {"stream_name": EVENTS, "config": odd, "action": "create"}
    await admin.request("$JS.API.CONSUMER.CREATE.EVENTS.keeper-notes", body, type_=dict[str, Any])
    assert await ensure(nats) == Changes(recreated=("keeper-notes",))
    config = (await info(admin, "CONSUMER.INFO.EVENTS.keeper-notes"))["config"]
    assert (config["ack_policy"], config["deliver_policy"]) == ("explicit", "all")


async def test_a_changed_limit_never_costs_the_stream(
    admin: Connection, nats: TestNats, services: Any
) -> None:
    bus = await services.connect("keeper")
    await bus.publish(notes("a", 3))
    events, *others = TOPOLOGY.streams
    shorter = msgspec.structs.replace(events, max_age_s=3_600.0)
    assert await ensure(nats, msgspec.structs.replace(TOPOLOGY, streams=(shorter, *others))) == Changes(
        updated=(EVENTS,)
    )
    assert (await info(admin, "STREAM.INFO.EVENTS"))["state"]["messages"] == 3


async def test_what_is_not_declared_is_left_alone(admin: Connection, nats: TestNats) -> None:
    extra = ConsumerSpec(durable="keeper-old", filters=("autopilot.v1.case.>",))
    wide = msgspec.structs.replace(TOPOLOGY, consumers=(*TOPOLOGY.consumers, extra))
    assert await ensure(nats, wide) == Changes(created=("keeper-old",))
    assert await ensure(nats) == Changes()
    assert (await info(admin, "CONSUMER.INFO.EVENTS.keeper-old"))["name"] == "keeper-old"


async def test_a_missing_durable_is_asked_for_and_delivers_from_the_beginning(
    admin: Connection, nats: TestNats, services: Any
) -> None:
    bus = await services.connect("keeper")
    events = notes("a", 2)
    await bus.publish(events)
    for delivery in await take(bus, "keeper-notes", 2):
        await delivery.ack()
    await info(admin, "CONSUMER.DELETE.EVENTS.keeper-notes")
    assert await bus.fetch("keeper-notes", 10, 0.3) == []
    assert await bus.lag("keeper-notes") == (0, 0)
    asked = await admin.request(
        "$JS.API.STREAM.MSG.GET.CONTROL",
        {"last_by_subj": "autopilot.control.recreate.keeper-notes"},
        type_=dict[str, Any],
    )
    assert asked["message"]["subject"] == "autopilot.control.recreate.keeper-notes"
    assert await ensure(nats) == Changes(created=("keeper-notes",))
    assert (await info(admin, "STREAM.INFO.CONTROL"))["state"]["messages"] == 0
    assert [each.recorded for each in await take(bus, "keeper-notes", 2)] == events


async def test_a_silent_durable_is_found_and_made_anew(
    admin: Connection, nats: TestNats, services: Any
) -> None:
    bus = await services.connect("keeper", stall_s=0.2)
    # Paused, it looks as one that the server has forgotten to serve: alive, with pending messages, giving none.
    body = {"pause_until": "2100-01-01T00:00:00Z"}
    await admin.request("$JS.API.CONSUMER.PAUSE.EVENTS.keeper-notes", body, type_=dict[str, Any])
    events = notes("a", 1)
    await bus.publish(events)
    while "keeper-notes" not in bus.stalled:
        assert await bus.fetch("keeper-notes", 1, 0.1) == []
    assert await ensure(nats) == Changes(recreated=("keeper-notes",))
    assert [each.recorded for each in await take(bus, "keeper-notes", 1)] == events
    assert bus.stalled == frozenset()


async def test_only_the_admin_changes_the_topology(nats: TestNats) -> None:
    with pytest.raises(RefusedError):
        await ensure_topology(nats.url, "keeper", PASSWORD, TOPOLOGY)
