"""What the server refuses to a service, whatever client it uses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from libs.messaging.bus import RefusedError
from libs.messaging.connection import Connection
from libs.testing.buscase import notes, take
from libs.testing.nats import PASSWORD, TestNats


@pytest.fixture
async def keeper(nats: TestNats) -> AsyncIterator[Connection]:
    connection = await nats.connection("keeper")
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "subject",
    [
        "autopilot.v1.side.a.aside",
        "deadletter.watcher-all",
        "autopilot.control.recreate.watcher-all",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.watcher-all",
        "$JS.API.CONSUMER.INFO.EVENTS.watcher-all",
        "$JS.API.CONSUMER.CREATE.EVENTS.keeper-notes",
        "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.keeper-notes",
        "$JS.API.CONSUMER.DELETE.EVENTS.keeper-notes",
        "$JS.API.CONSUMER.PAUSE.EVENTS.keeper-notes",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.UPDATE.EVENTS",
        "$JS.API.STREAM.MSG.DELETE.EVENTS",
        "$JS.API.STREAM.MSG.GET.EVENTS",
        "$JS.API.DIRECT.GET.EVENTS",
        "$JS.API.STREAM.SNAPSHOT.EVENTS",
        "$JS.ACK.EVENTS.watcher-all.1.1.1.1.0",
    ],
)
async def test_a_service_may_not_publish(keeper: Connection, subject: str) -> None:
    with pytest.raises(RefusedError):
        await keeper.request(subject, {}, type_=dict[str, object])


@pytest.mark.parametrize("subject", ["autopilot.v1.>", "deadletter.>", "_INBOX_watcher.>", "_INBOX.>", ">"])
async def test_a_service_may_not_listen(
    admin: Connection, keeper: Connection, nats: TestNats, subject: str
) -> None:
    heard: list[bytes] = []
    await keeper.subscribe(subject, lambda message: heard.append(message.data))
    # An answer of the server: by then it has said what it thinks of the subscription before.
    await keeper.request("$JS.API.CONSUMER.INFO.EVENTS.keeper-notes", type_=dict[str, object])
    admin.send("autopilot.v1.case.a.noted", b"{}")
    admin.send("_INBOX_watcher.x", b"{}")
    await admin.request("$JS.API.INFO", type_=dict[str, object])
    await keeper.request("$JS.API.CONSUMER.INFO.EVENTS.keeper-notes", type_=dict[str, object])
    assert keeper.refused == {subject.lower()}
    assert heard == []


async def test_a_refusal_shows_until_the_connection_is_made_anew(own_nats: TestNats) -> None:
    await own_nats.start()
    connection = await own_nats.connection("keeper")
    with pytest.raises(RefusedError):
        await connection.request("$JS.API.STREAM.DELETE.EVENTS", type_=dict[str, object])
    assert connection.refused
    own_nats.server.kill()
    await own_nats.start()
    await connection.up.wait()
    assert not connection.refused
    await connection.close()


async def test_a_wrong_password_is_refused(nats: TestNats) -> None:
    with pytest.raises(RefusedError, match="not authorized"):
        await Connection.open(nats.url, user="keeper", password=PASSWORD + "?", name="keeper", timeout_s=1.0)


async def test_an_event_reads_well_on_the_wire(admin: Connection, nats: TestNats, services: object) -> None:
    heard: list[tuple[str, dict[str, str], bytes]] = []
    await admin.subscribe(
        "autopilot.v1.>", lambda message: heard.append((message.subject, message.headers or {}, message.data))
    )
    await admin.request("$JS.API.INFO", type_=dict[str, object])
    bus = await services.connect("keeper")  # type: ignore[attr-defined]
    (event,) = notes("a", 1)
    await bus.publish([event])
    await take(bus, "keeper-notes", 1)
    await admin.request("$JS.API.INFO", type_=dict[str, object])
    ((subject, headers, payload),) = heard
    assert subject == "autopilot.v1.case.a.noted"
    assert (headers["ce-id"], headers["Nats-Msg-Id"], headers["content-type"]) == (
        event.id,
        event.id,
        "application/json",
    )
    assert payload.startswith(b'{"type":"noted","case_id":"a"')
