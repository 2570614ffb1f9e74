"""The dead letters that still wait for somebody: those that no later note has settled."""

from __future__ import annotations

import msgspec
import structlog
from nats.aio.msg import Msg

from libs.messaging import deadletter
from libs.messaging.connection import Connection
from libs.messaging.deadletter import Letter
from libs.messaging.directread import newest
from libs.messaging.topology import DEADLETTER

log = structlog.get_logger(__name__)

#: Letters that are looked through where one is wanted, or all.
ALL = 10_000


async def open_letters(connection: Connection, *, limit: int = ALL) -> list[Letter]:
    """List letters, newest first. Raises BusUnavailableError, RefusedError."""
    return await newest(connection, DEADLETTER, limit, _unsettled)


def _unsettled(messages: list[Msg]) -> list[Letter]:
    settled: set[str] = set()
    found: list[Letter] = []
    # A note lies behind the letter that it settles.
    for message in reversed(messages):
        if letter_id := (message.headers or {}).get(deadletter.SETTLES):
            settled.add(letter_id)
            continue
        try:
            letter = deadletter.decode(message.data)
        except msgspec.MsgspecError as error:
            log.warning("dead_letter_unreadable", error=str(error))
            continue
        if letter.id not in settled:
            found.append(letter)
    return found[::-1]
