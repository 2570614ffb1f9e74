"""What a person with the `nats` command and the observer's password can do: ask all it asks for a look, and nothing else.

The command is not at hand; these are its requests, from the source of natscli and jsm.go of July and August 2026, with
`--js-domain autopilot`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.client import Client

from libs.messaging.accounts import ASKED_APART
from libs.messaging.connection import Connection
from libs.messaging.topology import OBSERVER
from libs.testing.nats import PASSWORD, TestNats

#: Requests of JetStream that change something, or hand out what is somebody's.
CHANGES = [
    "STREAM.CREATE.EVENTS",
    "STREAM.UPDATE.EVENTS",
    "STREAM.DELETE.EVENTS",
    "STREAM.PURGE.EVENTS",
    "STREAM.MSG.DELETE.EVENTS",
    "STREAM.SNAPSHOT.EVENTS",
    "STREAM.RESTORE.EVENTS",
    "STREAM.LEADER.STEPDOWN.EVENTS",
    "CONSUMER.CREATE.EVENTS",
    "CONSUMER.CREATE.EVENTS.stream_pager_1.>",
    "CONSUMER.CREATE.EVENTS.gate-judge-subject",
    "CONSUMER.DURABLE.CREATE.EVENTS.mine",
    "CONSUMER.DELETE.EVENTS.gate-judge-subject",
    "CONSUMER.PAUSE.EVENTS.gate-judge-subject",
    "CONSUMER.RESET.EVENTS.gate-judge-subject",
    "CONSUMER.MSG.NEXT.EVENTS.gate-judge-subject",
    "ACCOUNT.PURGE.AUTOPILOT",
    "META.LEADER.STEPDOWN",
    "SERVER.REMOVE",
]


class Person:
    """Somebody with a plain client, as the command is one."""

    def __init__(self) -> None:
        self.client, self.errors = Client(), list[str]()

    async def connect(self, bus: TestNats) -> None:
        async def note(error: Exception) -> None:
            self.errors.append(str(error).lower())

        await self.client.connect(bus.url, user=OBSERVER, password=PASSWORD, error_cb=note)

    async def ask(self, what: str, **request: Any) -> dict[str, Any]:
        """Ask as the command does and return the answer."""
        payload = json.dumps(request).encode() if request else b""
        answer = await self.client.request(f"{ASKED_APART}{what}", payload, timeout=60)
        found: dict[str, Any] = json.loads(answer.data)
        assert "error" not in found, found
        return found

    async def refused(self, subject: str, reply: str = "") -> None:
        """Publish and wait for the server's no."""
        await self.client.publish(subject, b"{}", reply=reply)
        async with asyncio.timeout(60):
            while not any(f'publish to "{subject.lower()}"' in error for error in self.errors):
                await self.client.flush()


@pytest.fixture
async def person(bus: TestNats) -> AsyncIterator[Person]:
    found = Person()
    await found.connect(bus)
    yield found
    await found.client.close()


@pytest.fixture
async def admin(bus: TestNats) -> AsyncIterator[Connection]:
    await bus.empty()
    connection = await bus.admin()
    yield connection
    await connection.close()


async def messages(admin: Connection, stream: str = "EVENTS") -> int:
    info = await admin.request(f"$JS.API.STREAM.INFO.{stream}", type_=dict[str, Any])
    return int(info["state"]["messages"])


async def test_the_requests_of_a_look_are_answered(admin: Connection, person: Person) -> None:
    await admin.request("autopilot.v1.task.x.noted", {"n": 1}, type_=dict[str, Any])
    # nats stream info EVENTS; nats stream ls
    info = await person.ask("STREAM.INFO.EVENTS")
    assert (info["config"]["name"], info["state"]["messages"]) == ("EVENTS", 1)
    assert "EVENTS" in (await person.ask("STREAM.NAMES", offset=0))["streams"]
    assert {one["config"]["name"] for one in (await person.ask("STREAM.LIST", offset=0))["streams"]} >= {
        "EVENTS",
        "DEADLETTER",
    }
    # nats consumer report EVENTS; nats consumer info EVENTS gate-judge-subject
    listed = await person.ask("CONSUMER.LIST.EVENTS", offset=0)
    assert "gate-judge-subject" in {one["name"] for one in listed["consumers"]}
    assert (await person.ask("CONSUMER.INFO.EVENTS.gate-judge-subject"))["config"]["ack_policy"] == "explicit"
    # nats stream get EVENTS 1
    first = info["state"]["first_seq"]
    message = (await person.ask("STREAM.MSG.GET.EVENTS", seq=first))["message"]
    assert (message["subject"], base64.b64decode(message["data"])) == (
        "autopilot.v1.task.x.noted",
        b'{"n":1}',
    )
    direct = await person.client.request(
        f"{ASKED_APART}DIRECT.GET.EVENTS", json.dumps({"seq": first}).encode(), timeout=10
    )
    assert (direct.headers or {})["Nats-Subject"] == "autopilot.v1.task.x.noted"
    assert person.errors == []


async def test_events_are_heard_as_they_happen(admin: Connection, person: Person) -> None:
    heard: list[tuple[str, dict[str, str]]] = []

    async def hear(message: Any) -> None:
        heard.append((message.subject, message.headers or {}))

    for pattern in ("autopilot.v1.>", "deadletter.>"):
        await person.client.subscribe(pattern, cb=hear)
    await person.client.flush()
    for subject in ("autopilot.v1.task.x.noted", "deadletter.gate-judge-subject"):
        async with asyncio.timeout(60):
            # What is carried from account to account begins a moment after the subscription was confirmed.
            while (subject, {"ce-id": "1"}) not in heard:
                admin.send(subject, b"{}", headers={"ce-id": "1"})
                await admin.request("$JS.API.INFO", type_=dict[str, Any])
                await person.client.flush()
    assert person.errors == []


@pytest.mark.parametrize("prefix", [ASKED_APART, "$JS.API."])
async def test_everything_that_changes_something_is_refused(
    admin: Connection, person: Person, prefix: str
) -> None:
    before = await messages(admin)
    for what in CHANGES:
        await person.refused(f"{prefix}{what}")
    for stream in ("CONTROL", "OTHER"):
        await person.refused(f"{prefix}STREAM.INFO.{stream}")
    for subject in (
        "autopilot.v1.task.x.task_done",
        "deadletter.mine",
        "autopilot.control.recreate.mine",
        "mine",
    ):
        await person.refused(subject)
    assert await messages(admin) == before


async def test_answers_of_the_server_do_not_become_messages_of_the_bus(
    admin: Connection, person: Person
) -> None:
    """In the account of the services a request may send its answer anywhere; a person's stays in its own."""
    await admin.request("autopilot.v1.task.x.noted", {"n": 1}, type_=dict[str, Any])
    everywhere = ("autopilot.v1.task.x.task_done", "deadletter.mine", "autopilot.control.recreate.mine")
    for what in ("STREAM.INFO.EVENTS", "CONSUMER.LIST.EVENTS", "STREAM.MSG.GET.EVENTS", "DIRECT.GET.EVENTS"):
        for reply in (
            *everywhere,
            "$JS.API.STREAM.PURGE.EVENTS",
            "$JS.ACK.EVENTS.gate-judge-subject.1.1.1.1.0",
        ):
            await person.client.publish(f"{ASKED_APART}{what}", b'{"seq": 1}', reply=reply)
    # Asked afterwards on the same connection: by its answer, all before it has been answered.
    await person.ask("STREAM.INFO.EVENTS")
    assert await messages(admin) == 1
    assert await messages(admin, "DEADLETTER") == await messages(admin, "CONTROL") == 0
