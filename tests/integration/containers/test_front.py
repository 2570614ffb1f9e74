"""The front hands every connection to whoever leads, over real sockets."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from autopilot.containers import front
from autopilot.containers.front import Front

#: All of 127.0.0.0/8 is this machine: addresses of several processes behind one name.
ADDRESSES = ("127.0.0.2", "127.0.0.3")


class Process:
    """A process of a service that answers who leads, and then with its own name."""

    def __init__(self, name: str, *, leads: bool = False, hangs: bool = False) -> None:
        self.name, self.leads, self.hangs = name, leads, hangs
        #: Whether it ends instead of an answer.
        self.dies = False
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.requests: list[bytes] = []

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if self.hangs:
                    self.asked.set()
                    await reader.read()
                    return
                while (await reader.readline()).strip():
                    pass
                if line.startswith(b"GET /healthz "):
                    body = json.dumps({"status": "ok", "leads": self.leads}).encode()
                elif self.dies:
                    return
                else:
                    self.requests.append(line)
                    body = self.name.encode()
                self.asked.set()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.ended.set()
            writer.close()


class Place:
    """A front with processes behind it."""

    def __init__(self, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stack, self._patch = stack, monkeypatch
        self.port = 0

    async def start(self, *processes: Process, patience_s: float = 30.0) -> None:
        """Serve them at one name and port, each at an address of its own."""
        inner = 0
        for address, process in zip(ADDRESSES, processes, strict=False):
            server = await asyncio.start_server(process.serve, address, inner)
            self._stack.callback(server.close)
            inner = server.sockets[0].getsockname()[1]
        found = [(2, 1, 6, "", (address, inner)) for address in ADDRESSES[: len(processes)]]

        async def known(*_: object, **__: object) -> list[object]:
            return list(found)

        self._patch.setattr(asyncio.get_running_loop(), "getaddrinfo", known, raising=False)
        outer = await asyncio.start_server(
            Front("service", inner, patience_s=patience_s).serve, "127.0.0.1", 0
        )
        self._stack.callback(outer.close)
        self.port = outer.sockets[0].getsockname()[1]

    async def connect(self) -> tuple[StreamReader, StreamWriter]:
        """Connect as a client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._stack.callback(writer.close)
        return reader, writer

    async def ask(self, body: bytes = b"") -> bytes:
        """Send a request of its own connection and read all of the answer that comes."""
        reader, writer = await self.connect()
        writer.write(b"POST /v1/tasks HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await reader.readexactly(length)


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        yield Place(stack, monkeypatch)


async def test_each_connection_goes_to_who_leads_at_that_moment(place: Place) -> None:
    one, two = Process("one", leads=True), Process("two")
    await place.start(one, two)
    assert (await place.ask()).endswith(b"one")
    one.leads, two.leads = False, True
    assert (await place.ask()).endswith(b"two")
    # What a client sent has come to one of them, once.
    assert (len(one.requests), len(two.requests)) == (1, 1)


async def test_one_that_hangs_keeps_nobody_from_the_other(place: Place) -> None:
    hung, leader = Process("hung", hangs=True), Process("leader", leads=True)
    await place.start(hung, leader)
    assert (await place.ask()).endswith(b"leader")


async def test_a_connection_waits_for_somebody_to_lead(place: Place) -> None:
    one, two = Process("one"), Process("two")
    await place.start(one, two)
    asking = asyncio.create_task(place.ask())
    await two.asked.wait()
    assert not asking.done()
    two.leads = True
    assert (await asking).endswith(b"two")


@pytest.mark.parametrize("count", [0, 2], ids=["no process is there", "all stand by"])
async def test_where_nobody_leads_it_is_told_when_to_come_again(place: Place, count: int) -> None:
    await place.start(*(Process(str(number)) for number in range(count)), patience_s=0.2)
    answer = await place.ask(b"x" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert b"\r\nContent-Type: application/problem+json\r\n" in answer
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["title"] == "Nobody leads"


async def test_the_end_of_one_side_is_the_end_of_the_other(place: Place) -> None:
    leader = Process("leader", leads=True)
    await place.start(leader)
    reader, writer = await place.connect()
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"leader")
    writer.close()
    await leader.ended.wait()

    leader.dies = True
    reader, writer = await place.connect()
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""


async def test_who_leads_is_asked_anew_for_every_connection_and_nothing_is_left_open(place: Place) -> None:
    standby, leader = Process("standby"), Process("leader", leads=True)
    await place.start(standby, leader)
    for _ in range(3):
        standby.ended.clear()
        assert (await place.ask()).endswith(b"leader")
        await standby.ended.wait()


def test_it_is_there_for_every_service_of_which_one_leads() -> None:
    assert "stage-runner" not in front.LED
    assert len(front.LED) == 6
