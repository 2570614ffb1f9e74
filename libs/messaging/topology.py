"""The bus as data: which streams, consumers and users follow from what the services declare.

Nothing here talks to a server; `admin.py` makes it true. `render` writes it for people: a golden file of it
is where a change of who may say what to whom is reviewed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from contracts.message import SUBJECT_ROOT, TOKEN
from libs.messaging.accounts import ASKED_APART, INBOX
from libs.messaging.bus import ConsumerSpec
from libs.messaging.deadletter import ROOT as DEADLETTER_ROOT
from libs.messaging.deadletter import subject_for
from libs.messaging.subject import covers, overlap, reduced

EVENTS = "EVENTS"
DEADLETTER = "DEADLETTER"
CONTROL = "CONTROL"
#: The only user that may change streams and consumers: the supervisor.
ADMIN = "admin"
#: For people with a NATS client: hears everything, asks JetStream what changes nothing, and says nothing. It is apart:
#: the server's answers, which go wherever a request says, must not become events.
OBSERVER = "observer"
#: Looks at what the bus holds, to compare it with the record; changes nothing.
AUDITOR = "auditor"
#: A service asks here for one of its durables to be made anew.
RECREATE = "autopilot.control.recreate"

_READ_DEAD_LETTERS = (f"$JS.API.STREAM.INFO.{DEADLETTER}", f"$JS.API.DIRECT.GET.{DEADLETTER}")
_DAY_S = 86_400.0
_MIB = 1024 * 1024


class TopologyError(ValueError):
    """The declarations contradict each other or the rules of the bus."""


class FollowerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads the record by itself, and the subjects of what it takes from there."""

    #: `<service>-<handler>`, as a durable.
    name: str
    filters: tuple[str, ...]


class ServiceDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """What one service says about itself."""

    name: str
    consumes: tuple[ConsumerSpec, ...] = ()
    follows: tuple[FollowerSpec, ...] = ()
    #: Subjects of the control events that each of its processes hears, without a durable.
    hears: tuple[str, ...] = ()
    #: Stream categories it writes; no other service may.
    publishes: tuple[str, ...] = ()
    #: Whether it may list dead letters.
    reads_dead_letters: bool = False
    #: Read models that it writes and reads.
    views: tuple[str, ...] = ()
    #: Whether each of its processes holds a lease of its own, named after itself.
    lease_per_replica: bool = False


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One JetStream stream: on file, oldest messages discarded at a limit."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: float
    max_bytes: int
    #: Seconds in which a repeated `Nats-Msg-Id` is recognised.
    duplicate_window_s: float = 120.0
    #: Messages kept per subject; -1 for all.
    max_msgs_per_subject: int = -1


class User(msgspec.Struct, frozen=True, kw_only=True):
    """What one user of the server may publish and subscribe; everything else is refused."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    #: Whether it lives in an account of its own; see `accounts.py`.
    apart: bool = False


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the bus consists of."""

    streams: tuple[StreamSpec, ...]
    consumers: tuple[ConsumerSpec, ...]
    users: tuple[User, ...]
    #: Nothing of them is on the bus but their dead letters.
    followers: tuple[FollowerSpec, ...] = ()


#: The bus's content is disposable (the record is Postgres), so its limits discard the oldest instead of
#: refusing.
STREAMS = (
    # The server's memory grows by half a kB with every message that is kept, and by a third of that with every id that it
    # remembers (ADR 100). A relay tries again after 5 s at most; what comes twice later the inbox recognises.
    StreamSpec(
        name=EVENTS,
        subjects=(f"{SUBJECT_ROOT}.>",),
        max_age_s=7 * _DAY_S,
        max_bytes=256 * _MIB,
        duplicate_window_s=20.0,
    ),
    StreamSpec(
        name=DEADLETTER, subjects=(f"{DEADLETTER_ROOT}.>",), max_age_s=90 * _DAY_S, max_bytes=256 * _MIB
    ),
    # Requests outlive a restart of the server and of the supervisor; a newer one for the same durable
    # replaces.
    StreamSpec(
        name=CONTROL, subjects=(f"{RECREATE}.>",), max_age_s=600.0, max_bytes=_MIB, max_msgs_per_subject=1
    ),
)


def inbox_prefix(user: str) -> str:
    """Name the prefix under which a user receives replies, and nobody else may listen."""
    return f"_INBOX_{user}"


def derive(services: Iterable[ServiceDeclaration]) -> Topology:
    """Derive the bus from the services' declarations. Raises TopologyError."""
    declared = sorted(services, key=lambda service: service.name)
    _check(declared)
    consumers = tuple(
        msgspec.structs.replace(consumer, filters=_filters(consumer))
        for service in declared
        for consumer in sorted(service.consumes, key=lambda consumer: consumer.durable)
    )
    users = (
        User(name=ADMIN, publish=(">",), subscribe=(">",)),
        _auditor(),
        _observer(),
        *map(_user, declared),
    )
    followers = tuple(
        msgspec.structs.replace(follower, filters=reduced(follower.filters))
        for service in declared
        for follower in sorted(service.follows, key=lambda follower: follower.name)
    )
    return Topology(streams=STREAMS, consumers=consumers, followers=followers, users=users)


def _auditor() -> User:
    publish = (
        f"$JS.API.STREAM.INFO.{EVENTS}",
        f"$JS.API.DIRECT.GET.{EVENTS}",
        f"$JS.API.CONSUMER.INFO.{EVENTS}.*",
        *_READ_DEAD_LETTERS,
    )
    return User(name=AUDITOR, publish=publish, subscribe=(f"{inbox_prefix(AUDITOR)}.>",))


def _observer() -> User:
    """Let people ask what `nats stream info`, `stream ls`, `stream get`, `consumer report` and `consumer info` ask."""
    of_streams = ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
    asked = (
        "STREAM.LIST",
        "STREAM.NAMES",
        *(f"{what}.{stream}" for stream in (EVENTS, DEADLETTER) for what in of_streams),
        f"CONSUMER.LIST.{EVENTS}",
        f"CONSUMER.NAMES.{EVENTS}",
        f"CONSUMER.INFO.{EVENTS}.*",
    )
    return User(
        name=OBSERVER,
        publish=tuple(f"{ASKED_APART}{what}" for what in asked),
        subscribe=(f"{SUBJECT_ROOT}.>", f"{DEADLETTER_ROOT}.>", INBOX),
        apart=True,
    )


def _user(service: ServiceDeclaration) -> User:
    publish = [f"{SUBJECT_ROOT}.{category}.>" for category in sorted(service.publishes)]
    for durable in sorted(consumer.durable for consumer in service.consumes):
        # Pull consumers need no flow control: the client asks for what it has room for.
        publish += [
            f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{durable}",
            f"$JS.API.CONSUMER.INFO.{EVENTS}.{durable}",
            f"$JS.ACK.{EVENTS}.{durable}.>",
            subject_for(durable),
            f"{RECREATE}.{durable}",
        ]
    publish += sorted(subject_for(follower.name) for follower in service.follows)
    if service.reads_dead_letters:
        publish += _READ_DEAD_LETTERS
    subscribe = (f"{inbox_prefix(service.name)}.>", *service.hears)
    return User(name=service.name, publish=tuple(publish), subscribe=subscribe)


def _filters(consumer: ConsumerSpec) -> tuple[str, ...]:
    filters = reduced(consumer.filters)
    for place, one in enumerate(filters):
        for other in filters[place + 1 :]:
            if overlap(one, other):
                raise TopologyError(f"{consumer.durable}: the filters {one} and {other} overlap")
    return filters


def _check(services: Sequence[ServiceDeclaration]) -> None:
    names: set[str] = {ADMIN, AUDITOR, OBSERVER}
    durables: set[str] = set()
    writers: dict[str, str] = {}
    for service in services:
        if service.name in names or not TOKEN.match(service.name):
            raise TopologyError(f"{service.name!r} is taken or cannot be a user's name")
        names.add(service.name)
        for category in service.publishes:
            if not TOKEN.match(category) or "-" in category:
                raise TopologyError(f"{service.name}: {category!r} cannot be a stream category")
            if writers.setdefault(category, service.name) != service.name:
                raise TopologyError(
                    f"{service.name} and {writers[category]} both write the category {category}"
                )
        subscriptions = [(consumer.durable, consumer.filters) for consumer in service.consumes]
        subscriptions += [(follower.name, follower.filters) for follower in service.follows]
        if stray := [subject for subject in service.hears if not covers(f"{SUBJECT_ROOT}.>", subject)]:
            raise TopologyError(f"{service.name} hears {stray}, which are not subjects of events")
        for name, filters in subscriptions:
            if not name.startswith(f"{service.name}-") or not TOKEN.match(name):
                raise TopologyError(f"{name!r} is not named {service.name}-<handler>")
            if name in durables:
                raise TopologyError(f"the durable {name} is declared twice")
            durables.add(name)
            foreign = [pattern for pattern in filters if not covers(f"{SUBJECT_ROOT}.>", pattern)]
            if foreign or not filters:
                raise TopologyError(f"{name}: filters {foreign} are not subjects of events")


def render(topology: Topology) -> str:
    """Write a topology as text, one fact a line, in a stable order."""
    lines: list[str] = []
    for stream in topology.streams:
        lines += [
            f"stream {stream.name}",
            f"  subjects {' '.join(stream.subjects)}",
            f"  keep {stream.max_age_s:.0f} s, {stream.max_bytes // _MIB} MiB, "
            f"{stream.max_msgs_per_subject if stream.max_msgs_per_subject > 0 else 'all'} of a subject",
            f"  recognise repeated ids for {stream.duplicate_window_s:g} s",
        ]
    for consumer in topology.consumers:
        lines += [
            f"consumer {consumer.durable}",
            *(f"  takes {pattern}" for pattern in consumer.filters),
            f"  ack within {consumer.ack_wait_s:g} s, {consumer.max_ack_pending} at once, "
            f"dead letter after {consumer.max_deliver} failures",
        ]
    for follower in topology.followers:
        lines += [f"follower {follower.name}", *(f"  takes {pattern}" for pattern in follower.filters)]
    for user in topology.users:
        lines += [
            f"user {user.name}",
            *(["  lives in an account of its own"] if user.apart else ()),
            *(f"  may publish {subject}" for subject in user.publish),
            *(f"  may subscribe {subject}" for subject in user.subscribe),
        ]
    return "\n".join(lines) + "\n"
