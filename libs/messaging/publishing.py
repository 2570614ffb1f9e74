"""Pipelined publishing: many messages on their way at once, each confirmed by the server on our own inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum

import msgspec
import structlog
from nats.aio.msg import Msg

from libs.messaging.bus import BusUnavailableError
from libs.messaging.cloudevents import Message
from libs.messaging.connection import Connection

log = structlog.get_logger(__name__)

#: Messages that may wait for their confirmation; more only grow the server's queue.
WINDOW = 512
#: Seconds without any confirmation after which the rest of a call counts as unconfirmed.
PATIENCE_S = 4.0
#: Messages after which the loop's other tasks get a turn; the client's flusher is one of them.
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


class _Call:
    """The messages of one `publish`."""

    def __init__(self, size: int) -> None:
        self.fates = [Fate.UNCONFIRMED] * size
        #: Numbers of what is on its way, with the place and the subject in lower case.
        self.out: dict[int, tuple[int, str]] = {}
        #: Set whenever something came back.
        self.moved = asyncio.Event()


class Publisher:
    """Sends messages and knows their fate. Calls may overlap; each waits for its own."""

    def __init__(
        self, connection: Connection, *, window: int = WINDOW, patience_s: float = PATIENCE_S
    ) -> None:
        self._connection = connection
        self._window, self._patience_s = window, patience_s
        self._number = 0
        self._calls: dict[int, _Call] = {}
        connection.on_down.append(self._abandon)
        connection.on_refused.append(self._refuse)

    async def start(self) -> None:
        """Listen for confirmations."""
        await self._connection.subscribe(self._connection.inbox("ack.*"), self._confirm)

    async def publish(self, messages: Sequence[Message]) -> list[Fate]:
        """Publish in order and return the fate of each; never raises what the bus does."""
        call = _Call(len(messages))
        try:
            for place, message in enumerate(messages):
                if not self._connection.fits(message):
                    log.error("message_too_large", subject=message.subject, bytes=len(message.payload))
                    call.fates[place] = Fate.REFUSED
                    continue
                if place % _TURN == _TURN - 1:
                    await asyncio.sleep(0)
                if len(call.out) >= self._window and not await self._until(call, self._window // 2):
                    break
                await self._send(call, place, message)
            await self._until(call, 0)
        except BusUnavailableError:
            # What was confirmed before stays confirmed; the rest is the outbox's.
            log.info("publish_interrupted", unconfirmed=call.fates.count(Fate.UNCONFIRMED))
        finally:
            for number in call.out:
                self._calls.pop(number, None)
        return call.fates

    async def _send(self, call: _Call, place: int, message: Message) -> None:
        self._number += 1
        number = self._number
        call.out[number] = (place, message.subject.lower())
        self._calls[number] = call
        reply = self._connection.inbox(f"ack.{number}")
        await self._connection.send(message.subject, message.payload, reply=reply, headers=message.headers)

    async def _until(self, call: _Call, size: int) -> bool:
        """Wait until no more than `size` messages are out; False when nothing came back for too long."""
        while len(call.out) > size:
            call.moved.clear()
            try:
                async with asyncio.timeout(self._patience_s):
                    await call.moved.wait()
            except TimeoutError:
                return False
        return True

    def _confirm(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        try:
            ack = msgspec.json.decode(message.data, type=_Ack) if message.data else _Ack()
        except msgspec.MsgspecError:
            ack = _Ack()
        # Anything else is a refusal to store: no stream for the subject, a limit, an error of the store.
        self._end(int(number), Fate.CONFIRMED if ack.seq > 0 else Fate.UNCONFIRMED)
        if ack.seq <= 0:
            log.warning("publish_not_stored", answer=message.data.decode(errors="replace")[:300])

    def _refuse(self, subject: str) -> None:
        for number, call in list(self._calls.items()):
            if call.out[number][1] == subject:
                self._end(number, Fate.REFUSED)

    def _abandon(self) -> None:
        for number in list(self._calls):
            self._end(number, Fate.UNCONFIRMED)

    def _end(self, number: int, fate: Fate) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            place, _ = call.out.pop(number)
            call.fates[place] = fate
            call.moved.set()
