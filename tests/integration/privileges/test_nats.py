"""What the bus refuses to each service: everything that its declaration does not give it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from contracts.catalogue import UNIONS, registry
from contracts.gate import GateDecided
from libs.messaging.bus import RefusedError
from libs.messaging.connection import ApiError, Connection
from libs.messaging.jetstream import JetStreamBus
from libs.messaging.topology import OBSERVER, STREAMS
from libs.testing.nats import PASSWORD, TestNats
from tests.integration.privileges.conftest import DECLARED

#: Everything that JetStream lets be asked about a stream.
OF_STREAMS = [
    "STREAM.CREATE.{}",
    "STREAM.UPDATE.{}",
    "STREAM.DELETE.{}",
    "STREAM.PURGE.{}",
    "STREAM.INFO.{}",
    "STREAM.MSG.GET.{}",
    "STREAM.MSG.DELETE.{}",
    "STREAM.SNAPSHOT.{}",
    "STREAM.RESTORE.{}",
    "STREAM.PEER.REMOVE.{}",
    "STREAM.LEADER.STEPDOWN.{}",
    "DIRECT.GET.{}",
    "DIRECT.GET.{}.autopilot.v1.task.t.task_submitted",
    "CONSUMER.LIST.{}",
    "CONSUMER.NAMES.{}",
    "CONSUMER.CREATE.{}",
    "CONSUMER.CREATE.{}.mine",
    "CONSUMER.CREATE.{}.mine.autopilot.v1.>",
]
#: Everything that JetStream lets be asked about a consumer. A service may ask the first two about its own.
OF_CONSUMERS = [
    "CONSUMER.INFO.EVENTS.{}",
    "CONSUMER.MSG.NEXT.EVENTS.{}",
    "CONSUMER.CREATE.EVENTS.{}",
    "CONSUMER.DURABLE.CREATE.EVENTS.{}",
    "CONSUMER.DELETE.EVENTS.{}",
    "CONSUMER.PAUSE.EVENTS.{}",
    "CONSUMER.RESET.EVENTS.{}",
    "CONSUMER.UNPIN.EVENTS.{}",
    "CONSUMER.LEADER.STEPDOWN.EVENTS.{}",
]
OF_THE_ACCOUNT = [
    "INFO",
    "STREAM.LIST",
    "STREAM.NAMES",
    "ACCOUNT.PURGE.x",
    "META.LEADER.STEPDOWN",
    "SERVER.REMOVE",
]
DEAD_LETTERS = {"STREAM.INFO.DEADLETTER", "DIRECT.GET.DEADLETTER"}

every_user = pytest.mark.parametrize("service", [*DECLARED, OBSERVER])


@pytest.fixture
async def user(bus: TestNats, service: str) -> AsyncIterator[Connection]:
    connection = await bus.connection(service)
    yield connection
    await connection.close()


@pytest.fixture
async def admin(bus: TestNats) -> AsyncIterator[Connection]:
    connection = await bus.admin()
    yield connection
    await connection.close()


def own_durables(service: str) -> set[str]:
    return {each.durable for each in DECLARED[service].consumes} if service in DECLARED else set()


def durables() -> set[str]:
    return {each.durable for declared in DECLARED.values() for each in declared.consumes}


def reads_dead_letters(service: str) -> bool:
    return service in DECLARED and DECLARED[service].reads_dead_letters


async def heard_by_the_server(user: Connection) -> None:
    """What this user sent before, subscriptions too, has been dealt with: the server answers in order, to each
    connection by itself. What another connection says from now on finds those subscriptions."""
    await refuses(user, ["$JS.API.STREAM.DELETE.EVENTS"])


async def refuses(user: Connection, subjects: list[str]) -> None:
    for subject in subjects:
        with pytest.raises(RefusedError):
            await user.request(subject, {}, type_=dict[str, Any])


@every_user
async def test_it_publishes_events_of_its_own_streams_alone(user: Connection, service: str) -> None:
    own = set(DECLARED[service].publishes) if service in DECLARED else set()
    for category in own:
        stored = await user.request(f"autopilot.v1.{category}.x.noted", {}, type_=dict[str, Any])
        assert stored["stream"] == "EVENTS"
    foreign = sorted({*UNIONS, "unheard"} - own)
    await refuses(user, [f"autopilot.v1.{category}.x.noted" for category in foreign])
    await refuses(user, ["autopilot.v1", "autopilot.v1.x", "autopilot.v2.task.x.noted", "mine", "_INBOX.x"])


@every_user
async def test_it_buries_and_asks_for_its_own_durables_alone(user: Connection, service: str) -> None:
    for durable in own_durables(service):
        assert (await user.request(f"deadletter.{durable}", {}, type_=dict[str, Any]))[
            "stream"
        ] == "DEADLETTER"
    for durable in sorted(durables() - own_durables(service)):
        await refuses(user, [f"deadletter.{durable}", f"autopilot.control.recreate.{durable}"])
    await refuses(user, ["deadletter.mine", "autopilot.control.recreate.mine", "autopilot.control.mine"])


@every_user
async def test_it_inspects_its_own_durables_and_administers_none(user: Connection, service: str) -> None:
    for durable in own_durables(service):
        info = await user.request(f"$JS.API.CONSUMER.INFO.EVENTS.{durable}", type_=dict[str, Any])
        assert info["name"] == durable
        await refuses(user, [f"$JS.API.{subject.format(durable)}" for subject in OF_CONSUMERS[2:]])
    for durable in sorted(durables() - own_durables(service)):
        await refuses(user, [f"$JS.API.{subject.format(durable)}" for subject in OF_CONSUMERS])
        await refuses(user, [f"$JS.ACK.EVENTS.{durable}.1.1.1.1.0", f"$JS.FC.EVENTS.{durable}.x"])


@every_user
async def test_it_administers_no_stream(user: Connection, service: str) -> None:
    subjects = [
        subject.format(stream.name) for stream in STREAMS for subject in (*OF_STREAMS, *OF_THE_ACCOUNT)
    ]
    allowed = DEAD_LETTERS if reads_dead_letters(service) else set()
    await refuses(
        user, [f"$JS.API.{subject}" for subject in dict.fromkeys(subjects) if subject not in allowed]
    )


@every_user
async def test_dead_letters_are_read_by_who_declares_it(user: Connection, service: str) -> None:
    subject = "$JS.API.STREAM.INFO.DEADLETTER"
    if reads_dead_letters(service):
        assert (await user.request(subject, type_=dict[str, Any]))["config"]["name"] == "DEADLETTER"
    else:
        await refuses(user, [subject])


@every_user
async def test_it_hears_nobody_elses_answers_and_no_events(
    admin: Connection, user: Connection, service: str
) -> None:
    heard: list[str] = []
    events = ["autopilot.v1.task.x.noted", "deadletter.mine"]
    inboxes = [f"_INBOX_{other}.x" for other in (*DECLARED, OBSERVER, "admin") if other != service]
    secret = ["_INBOX.x", "$JS.EVENT.ADVISORY.x", "$JS.ACK.EVENTS.gate-judge-subject.1", "$SYS.x"]
    listened = [*inboxes, ">", "*.>", "$JS.>", "$SYS.>", "$JS.ACK.>"]
    if service == OBSERVER:
        # Allowed, and in an account of its own: nobody else's answers are there.
        await user.subscribe("_INBOX.>", lambda message: heard.append(message.subject))
    else:
        listened += ["autopilot.v1.>", "deadletter.>", "_INBOX.>"]
    for pattern in listened:
        await user.subscribe(pattern, lambda message: heard.append(message.subject))
    await heard_by_the_server(user)
    for subject in (*events, *inboxes, *secret):
        admin.send(subject, b"{}")
    # An answer of the server to each: by then it has said what it thinks of what came before.
    await admin.request("$JS.API.INFO", type_=dict[str, Any])
    await heard_by_the_server(user)
    assert {pattern.lower() for pattern in listened} <= user.refused
    assert heard == []


@pytest.mark.parametrize("service", [name for name in DECLARED if DECLARED[name].hears])
async def test_it_hears_the_control_events_that_it_declares(
    admin: Connection, user: Connection, service: str
) -> None:
    heard: list[str] = []
    patterns = DECLARED[service].hears
    for pattern in patterns:
        await user.subscribe(pattern, lambda message: heard.append(message.subject))
    await heard_by_the_server(user)
    said = [pattern.replace("*", "x") for pattern in patterns]
    for subject in (*said, "autopilot.v1.task.x.task_submitted"):
        admin.send(subject, b"{}")
    await admin.request("$JS.API.INFO", type_=dict[str, Any])
    await heard_by_the_server(user)
    assert sorted(heard) == sorted(said)


@pytest.mark.parametrize("service", [OBSERVER])
async def test_the_observer_hears_every_event_and_says_nothing(admin: Connection, user: Connection) -> None:
    heard: list[str] = []
    for pattern in ("autopilot.v1.>", "deadletter.>"):
        await user.subscribe(pattern, lambda message: heard.append(message.subject))
    with pytest.raises(RefusedError):
        await user.request("autopilot.v1.task.x.noted", {}, type_=dict[str, Any])
    for subject in ("autopilot.v1.task.x.noted", "deadletter.gate-judge-subject"):
        admin.send(subject, b"{}")
    await admin.request("$JS.API.INFO", type_=dict[str, Any])
    with pytest.raises(RefusedError):
        await user.request("mine", {}, type_=dict[str, Any])
    assert heard == ["autopilot.v1.task.x.noted", "deadletter.gate-judge-subject"]


#: A message that speaks for the gate.
LIE = {
    "ce-id": "1",
    "ce-type": "autopilot.v1.gate_decided",
    "ce-source": "/autopilot/gate",
    "ce-subject": "review-r1",
    "ce-time": "2026-01-01T12:00:00Z",
    "ce-streamversion": "1",
    "ce-schemaversion": "1",
}


@pytest.mark.parametrize("service", ["dashboard"])
async def test_a_lie_reaches_no_handler_by_way_of_the_servers_answers(
    bus: TestNats, admin: Connection, user: Connection, service: str
) -> None:
    """The server sends the answer to a request wherever the request says, without asking who may publish there."""
    await bus.empty()
    payload = msgspec.json.encode(
        GateDecided(review_id="r1", task_id="t1", gate=0, round=1, verdict="approve")
    )
    user.send("deadletter.dashboard-project", payload, headers=LIE)
    await stored(admin, "DEADLETTER", "deadletter.dashboard-project")
    user.send("$JS.API.DIRECT.GET.DEADLETTER", b'{"seq": 1}', reply="autopilot.v1.review.r1.gate_decided")
    # It is on the bus under a subject that this user may not publish.
    assert (await stored(admin, "EVENTS", "autopilot.v1.review.r1.gate_decided"))["seq"] == 1
    scheduler = await JetStreamBus.connect(
        bus.url, user="scheduler", password=PASSWORD, registry=registry, service="scheduler"
    )
    # It comes back with nothing as soon as the one message has come and been buried.
    assert await scheduler.fetch("scheduler-advance-task", 10, 60.0) == []
    await scheduler.close()
    buried = await stored(admin, "DEADLETTER", "deadletter.scheduler-advance-task")
    assert "an answer of the server" in base64.b64decode(buried["data"]).decode()


async def stored(admin: Connection, stream: str, subject: str) -> dict[str, Any]:
    """Wait until a message is stored and return it."""
    async with asyncio.timeout(60):
        while True:
            try:
                return (
                    await admin.request(
                        f"$JS.API.STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, type_=dict[str, Any]
                    )
                )["message"]
            except ApiError:
                await asyncio.sleep(0.01)
