"""The floor under W8: the least that Postgres, JetStream and two Python processes need for the same work by hand.

An engine and a worker. Each fetches what is there, decides, appends all its events in one transaction, publishes all
its messages at once, waits for every confirmation, then acknowledges. A task is 26 events (submitted; requested,
started and completed of eight steps; done) and 16 messages (a command and a result a step). There are no leases,
retries, gates, projections, HTTP, deduplication, hash chain or authorisation: the floor bounds a design from above.

`python -m loadtest.bench.floor engine|worker DSN NATS_URL`; the engine reads `N IN_FLIGHT` lines and answers each with
one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import pairwise
from typing import Any

import asyncpg
import msgspec
import nats
import uvloop
from nats.js.api import ConsumerConfig, StreamConfig

STEPS = 8
BATCH = 100
SCHEMA = """
create table if not exists log (
    position bigint generated always as identity primary key,
    stream text not null collate "C",
    version integer not null,
    type text not null,
    data jsonb not null,
    meta jsonb not null,
    time timestamptz not null default clock_timestamp(),
    unique (stream, version)
)
"""
APPEND = """
insert into log (stream, version, type, data, meta)
select * from unnest($1::text[], $2::int[], $3::text[], $4::jsonb[], $5::jsonb[])
"""
#: As much as an event carries: about 400 bytes with the meta.
FILLER = "x" * 180
META = json.dumps({"service": "floor", "causation_id": "0" * 36, "correlation_id": "0" * 36, "lease": "f:1"})


class Message(msgspec.Struct):
    """A command or a result."""

    task: str
    step: int
    version: int


class Batch:
    """Events that one transaction makes true."""

    def __init__(self) -> None:
        self.columns: tuple[list[Any], ...] = ([], [], [], [], [])

    def add(self, task: str, version: int, type_: str, step: int) -> None:
        """Add an event."""
        data = msgspec.json.encode({"task": task, "step": step, "at": time.time(), "filler": FILLER}).decode()
        for column, value in zip(self.columns, (task, version, type_, data, META), strict=True):
            column.append(value)


class Process:
    """What engine and worker share: one connection to each server, and the order of work."""

    def __init__(self, takes: str) -> None:
        self._takes = takes
        self._database: Any = None
        self._jetstream: Any = None
        self._messages: Any = None

    async def connect(self, dsn: str, url: str) -> None:
        """Connect and make what is missing."""
        self._database = await asyncpg.connect(dsn)
        await self._database.execute("select pg_advisory_lock(1)")
        await self._database.execute(SCHEMA)
        await self._database.execute("select pg_advisory_unlock(1)")
        client = await nats.connect(url)
        self._jetstream = client.jetstream(publish_async_max_pending=4_000)
        await self._jetstream.add_stream(StreamConfig(name="WORK", subjects=["work.>"]))
        self._messages = await self._jetstream.pull_subscribe(
            f"work.{self._takes}",
            durable=self._takes,
            stream="WORK",
            config=ConsumerConfig(ack_wait=60, max_ack_pending=4_000),
        )

    async def fetch(self) -> list[Any]:
        """Take what is there."""
        try:
            found: list[Any] = await self._messages.fetch(BATCH, timeout=1)
            return found
        except TimeoutError:
            return []

    async def commit(self, batch: Batch, subject: str, messages: list[Message], taken: list[Any]) -> None:
        """Append, then publish, then acknowledge: in this order nothing is lost and nothing is announced too early."""
        if batch.columns[0]:
            await self._database.execute(APPEND, *batch.columns)
        confirmations = [
            await self._jetstream.publish_async(subject, msgspec.json.encode(message)) for message in messages
        ]
        if confirmations:
            await asyncio.gather(*confirmations)
        for message in taken:
            await message.ack()


async def work(dsn: str, url: str) -> None:
    """Carry out steps until killed."""
    process = Process("command")
    await process.connect(dsn, url)
    print("ready", flush=True)
    while True:
        taken = await process.fetch()
        batch, results = Batch(), []
        for message in taken:
            command = msgspec.json.decode(message.data, type=Message)
            batch.add(command.task, command.version + 1, "started", command.step)
            batch.add(command.task, command.version + 2, "completed", command.step)
            results.append(Message(command.task, command.step, command.version + 2))
        await process.commit(batch, "work.result", results, taken)


async def run(dsn: str, url: str) -> None:
    """Run the tasks that each line of the input asks for."""
    process = Process("result")
    await process.connect(dsn, url)
    print("ready", flush=True)
    rounds = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, in_flight = map(int, line.split())
        rounds += 1
        print(json.dumps(await _round(process, f"r{rounds}", count, in_flight)), flush=True)


async def _round(process: Process, name: str, count: int, in_flight: int) -> dict[str, Any]:
    began = time.perf_counter()
    starts: dict[str, list[float]] = {}
    submitted = done = 0
    taken: list[Any] = []
    while done < count:
        batch, commands = Batch(), []
        for message in taken:
            result = msgspec.json.decode(message.data, type=Message)
            if result.step == STEPS:
                batch.add(result.task, result.version + 1, "done", STEPS)
                done += 1
            else:
                batch.add(result.task, result.version + 1, "requested", result.step + 1)
                commands.append(Message(result.task, result.step + 1, result.version + 1))
                starts[result.task].append(time.perf_counter())
        while submitted < count and submitted - done < in_flight:
            task = f"{name}-{submitted}"
            submitted += 1
            batch.add(task, 1, "submitted", 0)
            batch.add(task, 2, "requested", 1)
            commands.append(Message(task, 1, 2))
            starts[task] = [time.perf_counter()]
        await process.commit(batch, "work.command", commands, taken)
        taken = await process.fetch() if done < count else []
    seconds = time.perf_counter() - began
    steps = [after - before for one in starts.values() for before, after in pairwise(one)]
    return {"seconds": seconds, "steps_s": steps}


def main() -> None:
    """Be one of the two processes."""
    part, dsn, url = sys.argv[1:]
    uvloop.run(work(dsn, url) if part == "worker" else run(dsn, url))


if __name__ == "__main__":
    main()
