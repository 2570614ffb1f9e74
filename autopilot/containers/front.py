"""`python -m autopilot.containers.front`: hands each connection to whichever process of a service leads.

It listens on the services' own ports, so what is published does not move when another process leads, and several may be
there. Every connection asks all of them anew who leads, and the one on which the answer came is the one that is used:
nothing is remembered that could be wrong. While nobody leads a connection waits, and is answered 503 in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from asyncio import StreamReader, StreamWriter
from typing import TypeAlias

from autopilot.stack.config import DEFAULT_PORTS, HUNG_AFTER_S, LED
from libs.runtime.hanging import ended_when_hung

Connection: TypeAlias = tuple[StreamReader, StreamWriter]

#: Seconds that a connection waits for somebody to lead: more than twice what a standby needs to take over.
PATIENCE_S = 5.0
#: Seconds for one answer to who leads, and between two rounds of asking.
ANSWER_S, AGAIN_S = 1.0, 0.1
#: Seconds that the last bytes of a refusal have to be taken.
LINGER_S = 1.0
PIECE = 65_536

_QUESTION = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
_NOBODY = json.dumps(
    {
        "type": "urn:autopilot:problem:nobody-leads",
        "title": "Nobody leads",
        "status": 503,
        "detail": "no process of this service leads now; nothing was done, repeat in a moment",
    }
).encode()
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_NOBODY), _NOBODY)
)


class Front:
    """One port of one service."""

    def __init__(self, host: str, port: int, *, patience_s: float = PATIENCE_S) -> None:
        self._host, self._port, self._patience_s = host, port, patience_s

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection to its end."""
        leader: Connection | None = None
        try:
            leader = await self._leader()
            if leader is None:
                await _refuse(reader, writer)
            else:
                await _join((reader, writer), leader)
        except OSError:
            # Whichever side went away, the other is told below.
            pass
        finally:
            writer.close()
            if leader is not None:
                leader[1].close()

    async def _leader(self) -> Connection | None:
        """Ask until somebody leads; None where nobody does in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while True:
                    if (found := await self._asked()) is not None:
                        return found
                    await asyncio.sleep(AGAIN_S)
        return None

    async def _asked(self) -> Connection | None:
        """Ask all processes at once; return the connection to the first that says that it leads."""
        loop = asyncio.get_running_loop()
        try:
            known = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError:
            return None
        asked = [asyncio.create_task(_ask(*address[4][:2])) for address in known]
        found: Connection | None = None
        try:
            for answer in asyncio.as_completed(asked):
                if (found := await answer) is not None:
                    break
        finally:
            for task in asked:
                task.cancel()
            for other in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(other, tuple) and other is not found:
                    other[1].close()
        return found


async def _ask(host: str, port: int) -> Connection | None:
    """Connect and ask; None where nobody answers or another leads."""
    writer: StreamWriter | None = None
    leads = False
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_QUESTION)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            answer = json.loads(await reader.readexactly(int(fields[b"content-length"])))
            leads = answer["leads"] is True
        return (reader, writer) if leads else None
    except (OSError, EOFError, ValueError, KeyError):
        return None
    finally:
        if writer is not None and not leads:
            writer.close()


async def _join(client: Connection, leader: Connection) -> None:
    """Carry what each says to the other until one of them ends."""
    carrying = {
        asyncio.create_task(_carry(client[0], leader[1])),
        asyncio.create_task(_carry(leader[0], client[1])),
    }
    try:
        await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _carry(source: StreamReader, sink: StreamWriter) -> None:
    while piece := await source.read(PIECE):
        sink.write(piece)
        await sink.drain()


async def _refuse(reader: StreamReader, writer: StreamWriter) -> None:
    """Say that nobody leads, and take what still comes: an end in the middle of a request would lose the answer."""
    writer.write(_REFUSAL)
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while await reader.read(PIECE):
                pass


async def run() -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError where a port cannot be had."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with ended_when_hung(HUNG_AFTER_S):
        for name in LED:
            port = DEFAULT_PORTS[name]
            # On which of the machine's addresses it is published is for the engine to say.
            await asyncio.start_server(Front(name, port).serve, "0.0.0.0", port)  # noqa: S104
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(run())
