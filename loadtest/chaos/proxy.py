"""A TCP proxy between the services and a server, which can be slow, deaf, rude or lossy on demand.

A proxy cannot lose packets: TCP would mend that. What an application sees of a lossy network is what is made here:
stalls as long as a retransmission time-out, and connections that end with something said and never heard, so that
nobody knows whether a commit took place.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from typing import Literal

Weather = Literal["fair", "slow", "half-open", "resetting", "lossy", "held"]

_CHUNK = 65_536
#: Seconds by which a slow connection delays each chunk, and bytes it carries at once.
_SLOW_S, _SLOW_BYTES = (0.02, 0.2), 1_500
#: Seconds between the resets of a resetting connection.
_RESET_S = (0.3, 2.0)
#: Chance that a chunk on a lossy connection waits for its retransmission, how long, and that it is the last one.
_STALL, _STALL_S, _LOSS = 0.2, 0.2, 0.02


class Proxy:
    """Listens on a port of its own, in a thread of its own; `target` is looked up for each connection."""

    def __init__(self, target: Callable[[], tuple[str, int] | None], *, seed: int = 1) -> None:
        self._target = target
        self._weather: Weather = "fair"
        self._chance = random.Random(seed)  # noqa: S311 - a seed makes the weather repeatable
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._work, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    def turn(self, weather: Weather) -> None:
        """Change the weather of present and future connections."""
        self._loop.call_soon_threadsafe(self._turn, weather)

    def close(self) -> None:
        """End every connection and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def _turn(self, weather: Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, sock=self._socket))
        self._loop.run_forever()
        server.close()
        for connection in self._connections:
            connection.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._connections, return_exceptions=True))
        self._loop.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a caller to the server until one of them, or the weather, ends it."""
        ends = [writer]
        try:
            target = self._target()
            if target is None or self._weather == "half-open":
                if target is not None:
                    # Accepted and never answered; not even by the server's greeting, now or later.
                    await asyncio.Event().wait()
                return
            upstream_reader, upstream_writer = await asyncio.open_connection(*target)
            ends.append(upstream_writer)
            jobs = {
                asyncio.ensure_future(self._carry(reader, upstream_writer)),
                asyncio.ensure_future(self._carry(upstream_reader, writer)),
                asyncio.ensure_future(self._reset_some_time()),
            }
            try:
                await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)
        except OSError:
            return
        finally:
            for end in ends:
                _reset(end)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deaf = False
        while data := await reader.read(_CHUNK):
            match self._weather:
                case "half-open":
                    # Once it has swallowed something it stays deaf: the other end will never know.
                    deaf = True
                case "slow":
                    for start in range(0, len(data), _SLOW_BYTES):
                        await asyncio.sleep(self._chance.uniform(*_SLOW_S))
                        await _send(writer, data[start : start + _SLOW_BYTES])
                    continue
                case "lossy":
                    if self._chance.random() < _LOSS:
                        return
                    if self._chance.random() < _STALL:
                        await asyncio.sleep(_STALL_S)
                case "held":
                    while self._weather == "held":
                        await self._changed.wait()
                case _:
                    pass
            if not deaf:
                await _send(writer, data)

    async def _reset_some_time(self) -> None:
        while True:
            if self._weather == "resetting":
                await asyncio.sleep(self._chance.uniform(*_RESET_S))
                return
            await self._changed.wait()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with a reset instead of a farewell, as a host that has forgotten the connection does."""
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
