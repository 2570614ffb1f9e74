"""A webhook's receiver on a local port that does what it is told: answer, hang up, or say nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

#: What to do with the next request: a status to answer with, `reset` the connection, `drip` an answer
#: without an end, or be `silent`.
Behaviour = int | str


class Receiver:
    """Keeps every request that came, and plays the behaviours in order; the last one goes on for ever."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.url = ""
        self.called = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def ids(self) -> list[str]:
        """List the `webhook-id` of every request."""
        return [headers["webhook-id"] for headers, _ in self.requests]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        """Serve on a free port of this machine."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook/secret-part-of-the-address"
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        behaviour: Behaviour = self.behaviours[0] if len(self.behaviours) == 1 else self.behaviours.pop(0)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, msgspec.json.decode(body)))
        self.called.set()
        if behaviour == "reset":
            writer.transport.abort()
        elif behaviour == "drip":
            # An answer that begins, and whose head never ends.
            with contextlib.suppress(ConnectionError):
                writer.write(b"HTTP/1.1 200 OK\r\n")
                await writer.drain()
        elif behaviour != "silent":
            writer.write(
                f"HTTP/1.1 {behaviour} Answer\r\nlocation: /elsewhere\r\n\r\n".encode() + b"x" * 1_000
            )
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()
