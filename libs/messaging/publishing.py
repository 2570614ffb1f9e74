"""Pipelined publishing: many messages on their way at once, each confirmed by the server on our own inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

import msgspec
import structlog
from nats import errors
from nats.aio.msg import Msg

from libs.messaging.bus import BusUnavailableError
from libs.messaging.client import publication
from libs.messaging.cloudevents import Message
from libs.messaging.connection import Connection

log = structlog.get_logger(__name__)

#: Messages that may wait for their confirmation; more only grow the server's queue.
WINDOW = 512
#: Seconds without any confirmation after which the rest of a call counts as unconfirmed.
PATIENCE_S = 4.0
#: Messages that are written at once; then the loop's other tasks get a turn.
_TURN = 32


class Fate(Enum):
    """What became of a message."""

    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"
    REFUSED = "refused"


class _Ack(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    #: The id is known: somebody published it before, so it is there.
    duplicate: bool = False


_ack = msgspec.json.Decoder(_Ack).decode


class _Call:
    """The messages of one `publish`."""

    def __init__(self, messages: Sequence[Message], now: float) -> None:
        self.messages = messages
        self.fates = [Fate.UNCONFIRMED] * len(messages)
        #: Places of what is on its way, by number.
        self.out: dict[int, int] = {}
        #: When something came back last.
        self.moved_at = now
        #: Set when no more than `awaited` are out.
        self.awaited = 0
        self.arrived = asyncio.Event()


class Publisher:
    """Sends messages and knows their fate. Calls may overlap; each waits for its own."""

    def __init__(
        self, connection: Connection, *, window: int = WINDOW, patience_s: float = PATIENCE_S
    ) -> None:
        self._connection = connection
        self._window, self._patience_s = window, patience_s
        self._now = asyncio.get_running_loop().time
        self._inbox = connection.inbox("ack.")
        self._number = 0
        self._calls: dict[int, _Call] = {}
        connection.on_down.append(self._abandon)
        connection.on_refused.append(self._refuse)

    async def start(self) -> None:
        """Listen for confirmations."""
        await self._connection.subscribe(f"{self._inbox}*", self._confirm)

    async def publish(self, messages: Sequence[Message]) -> list[Fate]:
        """Publish in order and return the fate of each; never raises what the bus does."""
        call = _Call(messages, self._now())
        try:
            for start in range(0, len(messages), _TURN):
                if start:
                    await asyncio.sleep(0)
                if len(call.out) + _TURN > self._window and not await self._until(call, self._window // 2):
                    break
                self._send(call, range(start, min(start + _TURN, len(messages))))
            await self._until(call, 0)
        except BusUnavailableError:
            # What was confirmed before stays confirmed; the rest is the outbox's.
            log.info("publish_interrupted", unconfirmed=call.fates.count(Fate.UNCONFIRMED))
        finally:
            for number in call.out:
                self._calls.pop(number, None)
        return call.fates

    def _send(self, call: _Call, places: range) -> None:
        for place in places:
            message = call.messages[place]
            number = self._number = self._number + 1
            try:
                command = publication(
                    message.subject, message.payload, f"{self._inbox}{number}", message.headers
                )
            except errors.Error as error:
                log.error("message_unwritable", subject=message.subject, reason=str(error))
                call.fates[place] = Fate.REFUSED
                continue
            if not self._connection.fits(command):
                log.error("message_too_large", subject=message.subject, bytes=len(message.payload))
                call.fates[place] = Fate.REFUSED
                continue
            call.out[number] = place
            self._calls[number] = call
            self._connection.write(command)

    async def _until(self, call: _Call, size: int) -> bool:
        """Wait until no more than `size` messages are out; False when nothing came back for too long."""
        call.awaited = size
        while len(call.out) > size:
            call.arrived.clear()
            until = call.moved_at + self._patience_s
            if self._now() >= until:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await call.arrived.wait()
        return True

    def _confirm(self, message: Msg) -> None:
        try:
            ack = _ack(message.data) if message.data else _Ack()
        except msgspec.MsgspecError:
            ack = _Ack()
        # Anything else is a refusal to store: no stream for the subject, a limit, an error of the store.
        number = int(message.subject[len(self._inbox) :])
        self._end(number, Fate.CONFIRMED if ack.seq > 0 else Fate.UNCONFIRMED)
        if ack.seq <= 0:
            log.warning("publish_not_stored", answer=message.data.decode(errors="replace")[:300])

    def _refuse(self, subject: str) -> None:
        for number, call in list(self._calls.items()):
            if call.messages[call.out[number]].subject.lower() == subject:
                self._end(number, Fate.REFUSED)

    def _abandon(self) -> None:
        for number in list(self._calls):
            self._end(number, Fate.UNCONFIRMED)

    def _end(self, number: int, fate: Fate) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            call.fates[call.out.pop(number)] = fate
            call.moved_at = self._now()
            if len(call.out) <= call.awaited:
                call.arrived.set()
