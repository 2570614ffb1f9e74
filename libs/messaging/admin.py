"""Makes a topology true on a server: what is missing is created, what differs is changed. Only the auditor's rebuild
removes a stream.

Only the supervisor runs this: at the start, every few seconds, and after a restart of the server. It also
answers the services' requests for a new durable, which wait in the stream CONTROL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec
import structlog

from libs.messaging.bus import ConsumerSpec
from libs.messaging.connection import ApiError, Connection
from libs.messaging.topology import CONTROL, EVENTS, RECREATE, StreamSpec, Topology

log = structlog.get_logger(__name__)

T = TypeVar("T")

_NS = 1_000_000_000
#: Seconds that connecting may take, and one call.
_CONNECT_S, _CALL_S = 5.0, 4.0
_NO_MESSAGE = 10037
_NO_STREAM = 10059


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What `ensure_topology` had to do; all empty when everything was right."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    recreated: tuple[str, ...] = ()


class _Found(msgspec.Struct):
    config: dict[str, Any]
    created: datetime


class _Stored(msgspec.Struct):
    seq: int
    time: datetime


class _Message(msgspec.Struct):
    message: _Stored


class _Any(msgspec.Struct):
    """An answer of which only the absence of an error matters."""


async def ensure_topology(url: str, user: str, password: str, topology: Topology) -> Changes:
    """Make a topology true. A consumer made anew delivers from the beginning: the inbox knows what it has
    seen.

    Raises BusUnavailableError, RefusedError, ApiError; what was done before stays, and the next run goes on.
    """
    connection = await Connection.open(url, user=user, password=password, name="admin", timeout_s=_CONNECT_S)
    try:
        return await _Admin(connection).ensure(topology)
    finally:
        await connection.close()


async def rebuild_events(url: str, user: str, password: str, topology: Topology, first_sequence: int) -> None:
    """Remove the stream of events with its durables, and make them anew, empty, counting from a sequence.

    With the old stream go its ids, so that nothing which is published again is taken for a repetition. If this process
    dies in between, the next run of either function makes what is missing. Raises as `ensure_topology`.
    """
    connection = await Connection.open(url, user=user, password=password, name="admin", timeout_s=_CONNECT_S)
    try:
        admin = _Admin(connection)
        await admin.remove(EVENTS)
        await admin.ensure(topology, first_sequence)
    finally:
        await connection.close()


class _Admin:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._changes: dict[str, list[str]] = {"created": [], "updated": [], "recreated": []}

    async def ensure(self, topology: Topology, first_sequence: int = 1) -> Changes:
        for stream in topology.streams:
            await self._stream(stream, first_sequence if stream.name == EVENTS else 1)
        for consumer in topology.consumers:
            await self._consumer(consumer)
        return Changes(**{kind: tuple(names) for kind, names in self._changes.items()})

    async def remove(self, stream: str) -> None:
        try:
            await self._call(f"$JS.API.STREAM.DELETE.{stream}", None, _Any)
        except ApiError as error:
            if error.code != 404:
                raise

    async def _stream(self, spec: StreamSpec, first_sequence: int) -> None:
        wanted = _stream_config(spec)
        found = await self._find(f"$JS.API.STREAM.INFO.{spec.name}")
        if found is None:
            begun = {**wanted, "first_seq": first_sequence} if first_sequence > 1 else wanted
            await self._call(f"$JS.API.STREAM.CREATE.{spec.name}", begun, _Any)
            self._note("created", spec.name)
        elif _differs(wanted, found.config):
            await self._call(f"$JS.API.STREAM.UPDATE.{spec.name}", wanted, _Any)
            self._note("updated", spec.name)

    async def _consumer(self, spec: ConsumerSpec) -> None:
        wanted = _consumer_config(spec)
        found = await self._find(f"$JS.API.CONSUMER.INFO.{EVENTS}.{spec.durable}")
        asked = await self._recreation_asked(spec.durable)
        if found is None:
            await self._create(wanted, "created")
        elif asked is not None and asked.time > found.created:
            await self._recreate(wanted)
        elif _differs(wanted, found.config):
            try:
                await self._create(wanted, "updated")
            except ApiError as error:
                # Not everything about a consumer may be changed; then it begins anew.
                log.warning("consumer_not_updated", durable=spec.durable, error=str(error))
                await self._recreate(wanted)
        if asked is not None:
            await self._answered(asked)

    async def _create(self, wanted: dict[str, Any], kind: str) -> None:
        action = "update" if kind == "updated" else "create"
        body = {"stream_name": EVENTS, "config": wanted, "action": action}
        await self._call(f"$JS.API.CONSUMER.CREATE.{EVENTS}.{wanted['name']}", body, _Any)
        self._note(kind, wanted["name"])

    async def _recreate(self, wanted: dict[str, Any]) -> None:
        # If this process dies between the two, the durable is missing and the next run creates it.
        await self._call(f"$JS.API.CONSUMER.DELETE.{EVENTS}.{wanted['name']}", None, _Any)
        await self._create(wanted, "recreated")

    async def _recreation_asked(self, durable: str) -> _Stored | None:
        try:
            body = {"last_by_subj": f"{RECREATE}.{durable}"}
            return (await self._call(f"$JS.API.STREAM.MSG.GET.{CONTROL}", body, _Message)).message
        except ApiError as error:
            if error.error in (_NO_MESSAGE, _NO_STREAM):
                return None
            raise

    async def _answered(self, asked: _Stored) -> None:
        try:
            await self._call(
                f"$JS.API.STREAM.MSG.DELETE.{CONTROL}", {"seq": asked.seq, "no_erase": True}, _Any
            )
        except ApiError as error:
            # A newer request may have taken its place meanwhile; the next run answers that one.
            log.info("request_gone", seq=asked.seq, error=str(error))

    async def _find(self, subject: str) -> _Found | None:
        try:
            return await self._call(subject, None, _Found)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def _call(self, subject: str, body: dict[str, Any] | None, type_: type[T]) -> T:
        return await self._connection.request(subject, body, type_=type_, timeout_s=_CALL_S)

    def _note(self, kind: str, name: str) -> None:
        self._changes[kind].append(name)
        log.info("topology_changed", change=kind, name=name)


def _stream_config(spec: StreamSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": int(spec.max_age_s * _NS),
        "max_bytes": spec.max_bytes,
        "max_msgs_per_subject": spec.max_msgs_per_subject,
        "duplicate_window": int(spec.duplicate_window_s * _NS),
        "num_replicas": 1,
        "allow_direct": True,
    }


def _consumer_config(spec: ConsumerSpec) -> dict[str, Any]:
    return {
        "name": spec.durable,
        "durable_name": spec.durable,
        "filter_subjects": list(spec.filters),
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "ack_wait": int(spec.ack_wait_s * _NS),
        "max_ack_pending": spec.max_ack_pending,
        # Unlimited: at a limit the server drops a message in silence. We count, and write a dead letter
        # first.
        "max_deliver": -1,
    }


def _differs(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    """Compare what we set; the server adds fields of its own and leaves out those at their default."""
    return any(
        found.get(field, type(value)()) != value
        and not (field == "filter_subjects" and _single(found) == value)
        for field, value in wanted.items()
    )


def _single(found: dict[str, Any]) -> list[str]:
    return [found["filter_subject"]] if "filter_subject" in found else []
