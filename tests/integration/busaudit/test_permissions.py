"""The auditor's user may look and change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.messaging.bus import RefusedError
from libs.messaging.connection import Connection
from libs.messaging.topology import AUDITOR
from libs.testing.nats import TestNats


@pytest.fixture
async def auditor(module_nats: TestNats) -> AsyncIterator[Connection]:
    module_nats.server.kill()
    await module_nats.start()
    connection = await module_nats.connection(AUDITOR)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "subject",
    [
        "autopilot.v1.case.a.noted",
        "deadletter.tester-notes",
        "autopilot.control.recreate.tester-notes",
        "$JS.API.STREAM.CREATE.EVENTS",
        "$JS.API.STREAM.UPDATE.EVENTS",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.MSG.DELETE.EVENTS",
        "$JS.API.STREAM.INFO.CONTROL",
        "$JS.API.CONSUMER.CREATE.EVENTS.mine",
        "$JS.API.CONSUMER.DELETE.EVENTS.tester-notes",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.tester-notes",
        "$JS.ACK.EVENTS.tester-notes.1.1.1.1.0",
    ],
)
async def test_it_is_refused(auditor: Connection, subject: str) -> None:
    with pytest.raises(RefusedError):
        await auditor.request(subject, {}, type_=dict[str, Any], timeout_s=10)


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.INFO.EVENTS",
        "$JS.API.STREAM.INFO.DEADLETTER",
        "$JS.API.CONSUMER.INFO.EVENTS.tester-notes",
    ],
)
async def test_it_may_look(auditor: Connection, subject: str) -> None:
    assert await auditor.request(subject, type_=dict[str, Any])
