"""The proxy of the chaos suite does to a connection what it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from loadtest.chaos.proxy import Proxy


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that answers every line with itself."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = Proxy(lambda: ("127.0.0.1", port))
    yield made
    await asyncio.to_thread(made.close)
    server.close()
    await server.wait_closed()


class Caller:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def call(cls, proxy: Proxy) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def ask(self, line: bytes = b"hello\n") -> bytes:
        self._writer.write(line)
        return await self._reader.readline()

    async def silent(self) -> bool:
        """Tell whether a question stays without an answer though the connection stands."""
        try:
            return await asyncio.wait_for(self.ask(), 0.3) is None
        except TimeoutError:
            return True

    def hang_up(self) -> None:
        self._writer.transport.abort()


async def test_in_fair_weather_it_is_not_there(proxy: Proxy) -> None:
    caller = await Caller.call(proxy)
    assert await caller.ask() == b"hello\n"
    caller.hang_up()


async def test_a_half_open_connection_stays_deaf_and_a_later_one_hears(proxy: Proxy) -> None:
    before = await Caller.call(proxy)
    assert await before.ask() == b"hello\n"
    proxy.turn("half-open")
    assert await before.silent()
    during = await Caller.call(proxy)
    assert await during.silent()
    proxy.turn("fair")
    assert await before.silent()
    after = await Caller.call(proxy)
    assert await after.ask() == b"hello\n"
    for caller in (before, during, after):
        caller.hang_up()


async def test_what_is_held_arrives_later(proxy: Proxy) -> None:
    caller = await Caller.call(proxy)
    assert await caller.ask() == b"hello\n"
    proxy.turn("held")
    answer = asyncio.ensure_future(caller.ask(b"still there?\n"))
    done, _ = await asyncio.wait({answer}, timeout=0.3)
    assert not done
    proxy.turn("fair")
    assert await answer == b"still there?\n"
    caller.hang_up()


@pytest.mark.parametrize("weather", ["resetting", "lossy"])
async def test_sooner_or_later_it_resets_the_connection(proxy: Proxy, weather: str) -> None:
    proxy.turn(weather)  # type: ignore[arg-type]
    caller = await Caller.call(proxy)

    async def until_reset() -> None:
        while await caller.ask():
            pass
        raise ConnectionResetError

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(until_reset(), 60)
    caller.hang_up()


async def test_a_slow_connection_brings_everything_in_order(proxy: Proxy) -> None:
    proxy.turn("slow")
    caller = await Caller.call(proxy)
    line = bytes(65 + place % 26 for place in range(4_000)) + b"\n"
    assert await caller.ask(line) == line
    caller.hang_up()


async def test_without_a_server_it_hangs_up() -> None:
    proxy = Proxy(lambda: None)

    async def heard() -> bytes:
        caller = await Caller.call(proxy)
        try:
            return await caller.ask()
        finally:
            caller.hang_up()

    # A reset may come as early as while connecting.
    with contextlib.suppress(ConnectionError):
        assert await heard() == b""
    await asyncio.to_thread(proxy.close)
