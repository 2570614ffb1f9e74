"""A service with one aggregate, over twins: what the runtime's tests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from contracts.message import Event
from libs.eventsourcing.decider import Decider
from libs.eventstore.memory import MemoryStore
from libs.eventstore.outbox import Relay
from libs.eventstore.store import Append, LeaseClaim, StreamAppend
from libs.messaging.memory import MemoryBus, MemoryServer
from libs.messaging.topology import derive
from libs.runtime.config import Config
from libs.runtime.consumption import Consumption
from libs.runtime.following import Following
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Follower, Service
from libs.runtime.work import Work
from libs.testing.clock import ManualClock
from libs.testing.ids import CountedIds
from libs.testing.samples import Aside, Closed, Noted, head_of, new, registry


class Add(msgspec.Struct, frozen=True, kw_only=True):
    """Writes a text down unless it is there."""

    case_id: str
    text: str


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """What was written down."""

    texts: tuple[str, ...] = ()


def decide(command: Add, state: Texts) -> Iterator[Event]:
    """Write it down once."""
    if command.text not in state.texts:
        yield Noted(case_id=command.case_id, text=command.text)


def evolve(state: Texts, event: Event) -> Texts:
    """Remember it."""
    return Texts(texts=(*state.texts, event.text)) if isinstance(event, Noted) else state


cases: Decider[Add, Texts] = Decider("case", Texts(), decide, evolve)


async def watch(event: Aside, work: Work) -> None:
    """Handle a piece of news; tests put another in its place."""


class House:
    """One service `keeper`, its record and its bus; a second writer, `visitor`, makes the news it consumes."""

    def __init__(self, handler: Any = watch, **service: Any) -> None:
        self.clock, self.ids = ManualClock(), CountedIds()
        self.store = MemoryStore(registry, self.clock)
        one = handler if isinstance(handler, Consumer | Follower) else Consumer(handler)
        consumes = (one,) if isinstance(one, Consumer) else ()
        follows = (one,) if isinstance(one, Follower) else ()
        self.service = Service(
            name="keeper", registry=registry, owns=(cases,), consumes=consumes, follows=follows, **service
        )
        visitor = Service(name="visitor", registry=registry, owns=(Decider("side", None, None, None),))  # type: ignore[arg-type]
        self.server = MemoryServer(derive([self.service.declaration, visitor.declaration]), self.clock)
        self.visitor = Relay("visitor", self.store, MemoryBus(self.server, registry, "visitor"))
        self.running = self.process("keeper-1")

    def process(self, replica: str) -> Running:
        """Start one process of the service; it leads once `lead` was called."""
        bus = MemoryBus(self.server, registry, "keeper")
        relay = Relay("keeper", self.store, bus)
        return Running(
            self.service,
            config=config(replica=replica),
            store=self.store,
            bus=bus,
            clock=self.clock,
            ids=self.ids,
            publish=relay.publish,
        )

    async def lead(self, running: Running | None = None) -> Running:
        """Take the lease over, as a starting process does."""
        running = running or self.running
        lease = await self.store.acquire("keeper", running.config.holder, 100, takeover=True)
        assert lease is not None
        running.lead(LeaseClaim(name=lease.name, epoch=lease.epoch))
        return running

    async def news(self, *events: Event, publish: Callable[[Event], bool] = lambda _: True) -> None:
        """Record events of the visitor and publish those that are to arrive."""
        for event in events:
            stream = f"{event.stream}-{getattr(event, event.key)}"
            append = StreamAppend(head=await head_of(self.store, stream), events=(new(event),))
            recorded = await self.store.append(Append(service="visitor", streams=(append,)))
            if publish(event):
                await self.visitor.publish(recorded)
                await self.visitor.flush()

    def consumption(self, running: Running | None = None) -> Consumption:
        """The consumer of the service in a process."""
        return Consumption(running or self.running, self.service.consumes[0])

    def following(self, running: Running | None = None) -> Following:
        """The follower of the service in a process."""
        return Following(running or self.running, self.service.follows[0])

    async def texts(self, case_id: str) -> list[str]:
        """What the record holds of a case."""
        found: list[Any] = [event.event for event in await self.store.read_stream(f"case-{case_id}")]
        return [event.text if isinstance(event, Noted) else type(event).__name__ for event in found]


def config(**values: Any) -> Config:
    """Settings of a process."""
    given: dict[str, Any] = {
        "service": "keeper",
        "data_dir": "/nowhere",
        "postgres_dsn": "",
        "nats_url": "",
        "nats_user": "",
        "nats_password": "",
        "http_port": 0,
        "api_token": "api-token",
        "scrape_token": "scrape-token",
        "session_key": "key",
    }
    return Config(**{**given, **values})


__all__ = ["Add", "Aside", "Closed", "House", "Noted", "Texts", "cases", "config"]
