"""The bus as the auditor sees it, on NATS JetStream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from libs.busaudit.sight import Sight, Stored
from libs.messaging.bus import BusUnavailableError
from libs.messaging.connection import ApiError, Connection
from libs.messaging.directread import TIMEOUT_S, read
from libs.messaging.letterbox import open_letters
from libs.messaging.topology import EVENTS

#: Bytes of one reading: the largest message has 8 MiB.
READ_BYTES = 4 * 2**20
_NS = 1_000_000_000


class _State(msgspec.Struct):
    messages: int
    bytes: int
    first_seq: int
    first_ts: datetime
    last_seq: int
    num_deleted: int = 0


class _Config(msgspec.Struct):
    max_age: int
    max_bytes: int


class _Info(msgspec.Struct):
    created: datetime
    state: _State
    config: _Config


class _Consumer(msgspec.Struct):
    num_pending: int = 0
    num_ack_pending: int = 0


Answer = TypeVar("Answer")


class JetStreamView:
    """`BusView` on a connection of the auditor's user; what only the admin may do is given from outside."""

    def __init__(self, connection: Connection, rebuild: Callable[[int], Awaitable[None]]) -> None:
        self._connection, self._rebuild = connection, rebuild

    async def sight(self) -> Sight | None:
        """Look at the stream of events; None where there is none."""
        info = await self._find(f"$JS.API.STREAM.INFO.{EVENTS}", _Info)
        if info is None:
            return None
        return Sight(
            server=self._connection.server_id,
            created=info.created,
            messages=info.state.messages,
            bytes=info.state.bytes,
            # A new stream says 0.
            first_seq=info.state.first_seq if info.state.messages else info.state.last_seq + 1,
            first_at=info.state.first_ts,
            last_seq=info.state.last_seq,
            deleted=info.state.num_deleted,
            max_age_s=info.config.max_age / _NS,
            max_bytes=info.config.max_bytes,
        )

    async def read(self, sequence: int, count: int) -> list[Stored]:
        """Read up to `count` messages from a sequence on, in order."""
        stored: list[Stored] = []
        for message in await read(self._connection, EVENTS, sequence, count, max_bytes=READ_BYTES):
            headers = dict(message.headers or {})
            place, subject = int(headers.pop("Nats-Sequence")), headers.pop("Nats-Subject")
            for ours in ("Nats-Stream", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"):
                headers.pop(ours, None)
            stored.append(Stored(place, subject, headers, message.data))
        return stored

    async def idle(self, durable: str) -> bool:
        """Tell whether a durable has handed out everything and has all of it back."""
        info = await self._find(f"$JS.API.CONSUMER.INFO.{EVENTS}.{durable}", _Consumer)
        return info is not None and info.num_pending == info.num_ack_pending == 0

    async def given_up(self) -> Mapping[tuple[str, str], int]:
        """Tell which (durable, stream) are held back by a dead letter, and from which version on."""
        held: dict[tuple[str, str], int] = {}
        for letter in await open_letters(self._connection):
            key = (letter.consumer, letter.stream)
            held[key] = min(letter.version, held.get(key, letter.version))
        return held

    async def rebuild(self, first_sequence: int) -> None:
        """Remove the stream with its durables and make it anew."""
        await self._rebuild(first_sequence)

    async def _find(self, subject: str, type_: type[Answer]) -> Answer | None:
        try:
            return await self._connection.request(subject, type_=type_, timeout_s=TIMEOUT_S)
        except ApiError as error:
            if error.code == 404:
                return None
            raise BusUnavailableError(str(error)) from error
