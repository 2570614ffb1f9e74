"""A writer, two consumers of its events, and the auditor, over a real nats-server and a real Postgres."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from nats.aio.client import Client

from contracts.message import Meta, Recorded
from libs.busaudit.auditor import Auditor
from libs.busaudit.jetstream import JetStreamView
from libs.busaudit.keeping import wanted_by
from libs.busaudit.postgres import PostgresRecord
from libs.eventstore.outbox import Relay
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Append, EventStoreError, InboxMark, NewEvent, StreamAppend, StreamHead
from libs.messaging.admin import rebuild_events
from libs.messaging.bus import BusError, ConsumerSpec
from libs.messaging.connection import Connection
from libs.messaging.jetstream import JetStreamBus
from libs.messaging.topology import ADMIN, AUDITOR, ServiceDeclaration, derive
from libs.runtime.leadership import Leadership
from libs.runtime.pulse import Pulse
from libs.testing.ids import CountedIds
from libs.testing.nats import PASSWORD, EmbeddedServer, TestNats
from libs.testing.postgres import OWNER, TestPostgres
from libs.testing.samples import Noted, registry

#: Every note, and everything there is.
DURABLES = {"tester-notes": ("noted",), "tester-all": ()}
TESTER = ServiceDeclaration(
    name="tester",
    consumes=(
        ConsumerSpec(durable="tester-notes", filters=("autopilot.v1.case.*.noted",), ack_wait_s=1.0),
        ConsumerSpec(durable="tester-all", filters=("autopilot.v1.>",), ack_wait_s=1.0),
    ),
    publishes=("case", "side"),
    reads_dead_letters=True,
)
TOPOLOGY = derive([TESTER])
#: Seconds; generous, since the machine may be busy with other things.
DEADLINE_S = 60.0


@dataclass
class House:
    """What a test breaks, and what it looks at afterwards."""

    nats: TestNats
    dsn: str
    owner_dsn: str
    store: PostgresStore
    bus: JetStreamBus
    relay: Relay
    record: PostgresRecord
    connection: Connection
    auditor: Auditor
    #: Events by consumer as they took effect; every commit counts one.
    effects: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in DURABLES})
    heads: dict[str, StreamHead] = field(default_factory=dict)
    written: list[Recorded] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    consuming: bool = True
    ids: CountedIds = field(default_factory=CountedIds)

    @classmethod
    async def open(cls, nats: TestNats, postgres: TestPostgres, database: str) -> House:
        dsn, owner_dsn = postgres.dsn(database), postgres.dsn(database, OWNER)
        store = await PostgresStore.connect(dsn, registry)
        bus = await JetStreamBus.connect(
            nats.url, user="tester", password=PASSWORD, registry=registry, service="tester"
        )
        relay = Relay("tester", store, bus)
        record = await PostgresRecord.connect(owner_dsn, registry, "the auditor of this test")
        connection = await nats.connection(AUDITOR)

        async def rebuild(first: int) -> None:
            await rebuild_events(nats.url, ADMIN, PASSWORD, nats.topology, first)

        view = JetStreamView(connection, rebuild)
        auditor = Auditor(
            view, record, wanted_by(TOPOLOGY, registry), registry, lambda: datetime.now(UTC), random.Random(1)
        )
        house = cls(nats, dsn, owner_dsn, store, bus, relay, record, connection, auditor)
        # What is left behind in the outbox is told with the beats of a lease, as in every service.
        pulse = Pulse()
        pulse.listen(relay.heed)
        leadership = Leadership(store, "tester", "tester-1", time.monotonic, service="tester", pulse=pulse)
        house.tasks.append(asyncio.create_task(leadership.hold(await leadership.acquire())))
        house.tasks.append(asyncio.create_task(relay.run()))
        house.tasks += [asyncio.create_task(house._consume(name)) for name in DURABLES]
        await house.sound()
        return house

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.bus.close()
        await self.connection.close()
        await self.record.close()
        await self.store.close()

    async def write(self, streams: int, each: int, *, prefix: str = "s") -> None:
        """Record notes in several streams and hand them to the relay."""
        for number in range(streams):
            key = f"{prefix}{number}"
            stream = f"case-{key}"
            news = tuple(
                NewEvent(
                    id=self.ids.new(),
                    event=Noted(case_id=key, text="x" * 200),
                    meta=Meta(service="tester"),
                    recorded_at=datetime.now(UTC),
                )
                for _ in range(each)
            )
            head = self.heads.get(stream, StreamHead(stream=stream))
            recorded = await self.store.append(
                Append(service="tester", streams=(StreamAppend(head=head, events=news),))
            )
            last = recorded[-1]
            self.heads[stream] = StreamHead(stream=stream, version=last.version, hash=last.hash)
            self.written += recorded
            await self.relay.publish(recorded)

    async def _consume(self, durable: str) -> None:
        """Handle what comes as the runtime does: gaps from the record, effect and inbox in one append, then ack."""
        types = DURABLES[durable]
        while True:
            if not self.consuming:
                await asyncio.sleep(0.02)
                continue
            try:
                for delivery in await self.bus.fetch(durable, 64, 0.5):
                    event = delivery.recorded
                    before = await self.store.handled(durable, event.stream)
                    missed = await self.store.read_stream(
                        event.stream, before, types=types, upto=event.version
                    )
                    for each in missed:
                        mark = InboxMark(
                            consumer=durable, stream=each.stream, before=before, version=each.version
                        )
                        await self.store.append(Append(service="tester", inbox=(mark,)))
                        self.effects[durable][each.id] += 1
                        before = each.version
                    await delivery.ack()
            except (BusError, EventStoreError):
                await asyncio.sleep(0.05)

    async def look(self) -> None:
        """Let the auditor look once; what is away now is away."""
        try:
            await self.auditor.look()
        except (BusError, EventStoreError):
            await asyncio.sleep(0.05)

    async def until(self, what: str, look: Callable[[], Awaitable[bool]]) -> float:
        """Let the auditor look until something is so; return the seconds that it took."""
        began = time.monotonic()
        while True:
            await self.look()
            if await look():
                return time.monotonic() - began
            assert time.monotonic() - began < DEADLINE_S, f"waited for {what}: {await self.state()}"
            await asyncio.sleep(0.02)

    async def sound(self, epoch: int = 1) -> float:
        """Wait until an epoch is sound."""

        async def look() -> bool:
            now = await self.store.bus_epoch()
            return now.epoch >= epoch and now.sound

        return await self.until(f"epoch {epoch}", look)

    async def compared(self) -> None:
        """Wait until the auditor has read all there is."""

        async def look() -> bool:
            memory, info = await self.record.remembered(), await self.info()
            return memory is not None and memory.compared == info["last_seq"]

        await self.until("the comparison", look)

    async def handled(self) -> float:
        """Wait until every consumer has handled every event."""

        async def look() -> bool:
            return all(len(effects) == len(self.written) for effects in self.effects.values())

        return await self.until("the effects", look)

    def once(self) -> None:
        """Every event took effect once with each consumer; nothing else did."""
        for durable, effects in self.effects.items():
            assert set(effects) == {event.id for event in self.written}, durable
            assert set(effects.values()) <= {1}, durable

    async def raised(self) -> str:
        """Wait for an epoch beyond the first; return its reason."""

        async def look() -> bool:
            return (await self.store.bus_epoch()).epoch > 1

        await self.until("an epoch", look)
        return (await self.store.bus_epoch()).reason

    async def state(self) -> str:
        return f"{await self.store.bus_epoch()} {await self.record.remembered()}"

    async def info(self) -> dict[str, Any]:
        """What the server says about its stream."""
        admin = await self.nats.admin()
        try:
            found = await admin.request("$JS.API.STREAM.INFO.EVENTS", type_=dict[str, Any])
            return dict(found["state"])
        finally:
            await admin.close()

    async def ask(self, subject: str, body: Any = None) -> Any:
        """Do something as the admin."""
        admin = await self.nats.admin()
        try:
            return await admin.request(subject, body, type_=dict[str, Any])
        finally:
            await admin.close()

    async def invent(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish as an admin does who knows no rules."""
        client = Client()
        await client.connect(self.nats.url, user=ADMIN, password=PASSWORD)
        await client.jetstream().publish(subject, payload, headers=headers)
        await client.close()

    @property
    def server(self) -> EmbeddedServer:
        assert isinstance(self.nats.server, EmbeddedServer)
        return self.nats.server


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)
