"""The embedded bus: its users, its store, and kill -9."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import nats
import nats.js.errors
from nats.aio.client import Client

from autopilot.stack import secrets
from autopilot.stack.config import HOST, NATS, StackConfig
from tests.integration.stack.fakes import PATIENCE_S, eventually, live_status


async def _connect(config: StackConfig, user: str, inbox: str = "_INBOX") -> tuple[Client, list[str]]:
    stored = secrets.load_or_create(config.secrets_dir)
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error))

    client = await nats.connect(
        config.addresses()[NATS],
        user=user,
        password=stored.nats[user],
        allow_reconnect=False,
        error_cb=note,
        inbox_prefix=inbox.encode(),
    )
    return client, errors


async def _kill(config: StackConfig) -> None:
    pid = live_status(config).processes[NATS].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(
        lambda: (now := live_status(config).processes[NATS]).pid not in (None, pid) and now.state == "ready",
        "the bus's return",
    )


async def test_a_killed_server_comes_back_with_its_messages(shared: StackConfig) -> None:
    client, _ = await _connect(shared, "admin")
    for number in range(100):
        last = await client.jetstream().publish(f"autopilot.v1.task.{number}.submitted", b"{}")
    await client.close()
    await _kill(shared)
    again, _ = await _connect(shared, "admin")
    assert (await again.jetstream().stream_info("EVENTS")).state.last_seq == last.seq
    await again.close()


async def test_streams_that_a_restart_lost_are_made_again_at_once(shared: StackConfig) -> None:
    # The store goes while the server runs; the killed server starts with nothing.
    shutil.rmtree(shared.nats_dir / "jetstream")
    await _kill(shared)
    client, _ = await _connect(shared, "admin")

    async def stream_is_there() -> bool:
        try:
            return (await client.jetstream().stream_info("EVENTS")).config.name == "EVENTS"
        except nats.js.errors.NotFoundError:
            return False

    async with asyncio.timeout(PATIENCE_S):
        while not await stream_is_there():
            await asyncio.sleep(0.02)
    await client.close()


async def test_a_user_may_publish_what_was_allowed_and_nothing_else(shared: StackConfig) -> None:
    client, errors = await _connect(shared, "gate", "_INBOX_gate")
    ack = await client.jetstream().publish("autopilot.v1.gate.t1.gate_decided", b"{}")
    assert ack.stream == "EVENTS"
    await client.publish("autopilot.v1.task.t1.task_done", b"{}")
    await client.flush()
    await eventually(lambda: any("permissions violation" in error.lower() for error in errors), "a refusal")
    await client.close()


async def test_a_user_without_subjects_can_do_nothing(shared: StackConfig) -> None:
    client, errors = await _connect(shared, "alerting")
    await client.publish("anything", b"")
    await client.subscribe("anything")
    await client.flush()
    await eventually(lambda: len(errors) == 2, "two refusals")
    await client.close()


async def test_nobody_gets_in_without_a_password(shared: StackConfig) -> None:
    reader, writer = await asyncio.open_connection(HOST, shared.ports[NATS])
    assert (await reader.readline()).startswith(b"INFO ")
    writer.write(b'CONNECT {"verbose": false}\r\nPING\r\n')
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
