"""Reading a stream's messages without a consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec
from nats.aio.msg import Msg

from libs.messaging.bus import BusUnavailableError, RefusedError
from libs.messaging.connection import ApiError, Connection

T = TypeVar("T")

#: Seconds that an answer may take.
TIMEOUT_S = 3.0


class _State(msgspec.Struct):
    first_seq: int = 0
    last_seq: int = 0


class _Info(msgspec.Struct):
    state: _State


async def newest(
    connection: Connection,
    stream: str,
    limit: int,
    keep: Callable[[list[Msg]], list[T]],
) -> list[T]:
    """Return up to `limit` of what `keep` makes of the newest messages; it takes and gives oldest first.

    Raises BusUnavailableError, RefusedError.
    """
    try:
        info = await connection.request(f"$JS.API.STREAM.INFO.{stream}", type_=_Info, timeout_s=TIMEOUT_S)
    except ApiError as error:
        if error.code == 404:
            return []
        raise BusUnavailableError(str(error)) from error
    window, first, last = limit, info.state.first_seq, info.state.last_seq
    if last == 0 or first > last:
        return []
    while True:
        # Where messages were deleted in between or are not kept, a window gives fewer than its width: look further back.
        start = max(first, last - window + 1)
        found = keep(await read(connection, stream, start, last - start + 1))
        if len(found) >= limit or start == first:
            return found[::-1][:limit]
        window *= 2


async def read(
    connection: Connection, stream: str, start: int, count: int, *, max_bytes: int = 0
) -> list[Msg]:
    """Read up to `count` messages (and bytes, where given) from a sequence on, leaving out what is missing.

    Raises BusUnavailableError, RefusedError.
    """
    found: list[Msg] = []
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def receive(message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None:
            found.append(message)
        # 204 ends the batch, 404 says that there is nothing from here on.
        elif not done.done():
            if status in ("204", "404"):
                done.set_result(None)
            else:
                done.set_exception(BusUnavailableError(f"{stream}: {message.headers}"))

    subject = f"$JS.API.DIRECT.GET.{stream}"

    def refuse(refused: str) -> None:
        if refused == subject.lower() and not done.done():
            done.set_exception(RefusedError([subject], "permission denied"))

    inbox = connection.inbox(f"read.{stream}.{start}.{count}")
    end = await connection.subscribe(inbox, receive)
    connection.on_refused.append(refuse)
    try:
        body = {"seq": start, "batch": count, **({"max_bytes": max_bytes} if max_bytes else {})}
        connection.send(subject, msgspec.json.encode(body), reply=inbox)
        async with asyncio.timeout(TIMEOUT_S):
            await done
    except TimeoutError as error:
        raise BusUnavailableError(f"{subject}: no answer within {TIMEOUT_S:g} s") from error
    finally:
        connection.on_refused.remove(refuse)
        await end()
    return found
