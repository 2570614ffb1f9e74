"""What a service is: a value. The runner does all the waiting."""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Union, get_args, get_origin, get_type_hints

from contracts.message import Event, Recorded, Registry, subject_filter, wire_type
from libs.eventsourcing.decider import Decider
from libs.messaging.bus import MAX_ACK_PENDING, ConsumerSpec
from libs.messaging.outcome import Outcome
from libs.messaging.subject import reduced
from libs.messaging.topology import FollowerSpec, ServiceDeclaration
from libs.runtime.patience import within
from libs.runtime.projection import Projection
from libs.runtime.snapshots import fingerprint
from libs.runtime.work import Work

#: A handler takes the news and the unit of work; None means done.
Handler = Callable[[Any, Work], Awaitable[Outcome | None]]
#: Seconds that one decision may take: longer than any call of the record, so that a record that is away is told as such.
DECISION_S = 12.0


#: A timer handler takes the timer's subject and the unit of work.
TimerHandler = Callable[[str, Work], Awaitable[None]]
#: A handler of control events takes the news and the running service.
ControlHandler = Callable[[Any, Any], Awaitable[None]]


def _announced(handler: Callable[..., Any]) -> tuple[type[Event], ...]:
    """List the classes named by the annotation of a handler's first argument."""
    first = next(iter(inspect.signature(handler).parameters))
    annotation = get_type_hints(handler)[first]
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(get_args(annotation))
    return (annotation,)


@dataclass(frozen=True)
class Subscription:
    """A handler with the events it takes; both come from the function."""

    handler: Handler
    #: Whether it sees every event instead of those named in its annotation.
    everything: bool = False
    #: Seconds after which a decision counts as failed.
    patience_s: float = DECISION_S
    #: Events taken at once at most. Each batch is one append.
    batch: int = 128

    async def handle(self, event: Recorded, work: Work) -> Outcome | None:
        """Let the handler decide, within its time. Raises NoDecisionError, and whatever the handler raises."""
        news = event if self.everything else event.event
        return await within(self.patience_s, self.handler(news, work))

    @cached_property
    def events(self) -> tuple[type[Event], ...]:
        """List the classes named by the annotation of the handler's first argument; asked for with every gap."""
        return () if self.everything else _announced(self.handler)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """List the wire types it takes; empty means all."""
        return tuple(wire_type(event) for event in self.events)

    def durable(self, service: str) -> str:
        """Name it: `<service>-<handler>`."""
        name = self.handler.__name__ if hasattr(self.handler, "__name__") else type(self.handler).__name__
        return f"{service}-{name.replace('_', '-')}"

    @property
    def filters(self) -> tuple[str, ...]:
        """List the subjects of what it takes."""
        return tuple(sorted(subject_filter(event) for event in self.events)) or ("autopilot.v1.>",)


@dataclass(frozen=True)
class Consumer(Subscription):
    """A subscription on which tasks wait: a durable consumer of the bus."""

    #: How many more messages may be taken now, given what the service assembled; None means as many as there are.
    room: Callable[[Any], int] | None = None

    def spec(self, service: str) -> ConsumerSpec:
        """Describe the durable for the bus's topology."""
        # While one batch is being handled, the next may be on its way.
        most = max(MAX_ACK_PENDING, 2 * self.batch)
        return ConsumerSpec(durable=self.durable(service), filters=self.filters, max_ack_pending=most)


@dataclass(frozen=True)
class Follower(Subscription):
    """A subscription on which no task waits: it reads the record itself, and nothing of it goes over the bus."""

    batch: int = 1_024
    #: Seconds between two looks. What came meanwhile is handled together, which costs less, most of all where the same
    #: documents are written again and again, and leaves the processors to those on whom tasks wait.
    every_s: float = 0.2

    def spec(self, service: str) -> FollowerSpec:
        """Describe it for whoever asks who takes what."""
        return FollowerSpec(name=self.durable(service), filters=self.filters)


@dataclass(frozen=True)
class Hearer:
    """A handler of control events: each process of the service hears all of them, never behind other work.

    What it does concerns this process alone and is true again after a restart without it: nothing is recorded of what was
    heard, and what was said before a process began is not said to it again. An event may be heard twice.
    """

    handler: ControlHandler
    #: Stream of which the last of these events is in force until another comes: a process that begins hears it first.
    in_force: str = ""

    @cached_property
    def events(self) -> tuple[type[Event], ...]:
        """List the classes named by the annotation of the handler's first argument."""
        return _announced(self.handler)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """List the wire types it hears."""
        return tuple(wire_type(event) for event in self.events)


@dataclass(frozen=True)
class Service:
    """Everything the runner has to know about a service."""

    #: Public name, with dashes.
    name: str
    #: Decodes every event there is.
    registry: Registry
    owns: tuple[Decider[Any, Any], ...] = ()
    consumes: tuple[Consumer, ...] = ()
    follows: tuple[Follower, ...] = ()
    hears: tuple[Hearer, ...] = ()
    timers: Mapping[str, TimerHandler] = field(default_factory=dict)
    #: Builds what the handlers need beyond the work: adapters, executors. Called once, before anything is consumed.
    assemble: Callable[[Any], Awaitable[Any]] | None = None
    #: Builds the FastAPI router from the running context.
    routes: Callable[[Any], Any] | None = None
    #: Measures what only this service knows, with every scrape: metric families of `prometheus_client`.
    gauges: Callable[[Any], Awaitable[Sequence[Any]]] | None = None
    #: Activities that run while this process holds the service's lease.
    workers: tuple[Callable[[Any], Coroutine[Any, Any, None]], ...] = ()
    #: Whether its decisions are taken one after the other: right where most of them meet in one stream (the pool of
    #: slots) or rest on another (the mode), since two that are taken at once would only make each other repeat.
    one_at_a_time: bool = False
    #: Its read model, if it has one.
    projection: Projection | None = None
    #: The lease each process of the service needs: one for all (a leader) or one per replica.
    lease_per_replica: bool = False
    #: Statements that it has in Postgres at once; others wait. Each is a server process of 5 to 8 MiB.
    connections: int = 2
    #: Whether it may list dead letters on the bus.
    reads_dead_letters: bool = False
    #: Read models (the `view` of `Work.document`) that it keeps; to other services they do not exist.
    views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # While the code that was loaded is what the files say: later they may be those of another release.
        for decider in self.owns:
            fingerprint(decider.evolve)

    @property
    def categories(self) -> tuple[str, ...]:
        """List the stream categories that this service writes."""
        return tuple(decider.category for decider in self.owns)

    @property
    def declaration(self) -> ServiceDeclaration:
        """Say what this service may do on the bus and in the record's database."""
        return ServiceDeclaration(
            name=self.name,
            consumes=tuple(consumer.spec(self.name) for consumer in self.consumes),
            follows=tuple(follower.spec(self.name) for follower in self.follows),
            hears=reduced(subject_filter(event) for hearer in self.hears for event in hearer.events),
            publishes=self.categories,
            reads_dead_letters=self.reads_dead_letters,
            views=self.views,
            lease_per_replica=self.lease_per_replica,
        )
