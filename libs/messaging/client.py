"""The nats-py client, with less work for each message (ADR 102).

The client's own way takes a message through a buffer, five regular expressions, a queue and a task, and looks at every
character of its some eighteen headers. Connecting, reconnecting, pings, errors and subscriptions are the client's; messages
are read where they arrive, and what is published is written at once.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import ParseResult

import structlog
from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from libs.messaging.cloudevents import HEADERS

log = structlog.get_logger(__name__)

Handler = Callable[[Msg], None]

_VERSION = b"NATS/1.0"
#: Printable ASCII without the space.
_GRAPHIC = bytes(range(0x21, 0x7F))
#: What is left of headers without what is graphic: one space and one end of a line each.
_SPACES = b" \r\n" * 64
#: Names of headers that need no look, and with their colons.
_KNOWN = HEADERS.keys()
_NAMES = {f"{name}:": name for name in HEADERS}
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NEWLINES = str.maketrans("\r\n", "  ")


class LeanClient(Client):
    """Differs from its base in speed only; `tests/unit/messaging/test_client.py` compares the two."""

    def __init__(self) -> None:
        super().__init__()
        #: By the number of the subscription.
        self._hearers: dict[int, Handler] = {}
        #: Commands of this turn of the loop.
        self._said: list[bytes] = []

    async def listen(self, subject: str, handler: Handler) -> Subscription:
        """Subscribe. The handler is called while bytes are being read: it must be quick, and what it raises is logged."""

        async def receive(message: Msg) -> None:
            handler(message)

        subscription = await self.subscribe(subject, cb=receive)
        self._hearers[subscription._id] = handler
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Call a subscription's handler no more."""
        self._hearers.pop(subscription._id, None)

    def write(self, command: bytes) -> None:
        """Have a command written; all of one turn of the loop go together. They are lost if the connection is by then."""
        if not self._said:
            asyncio.get_running_loop().call_soon(self._write_said)
        self._said.append(command)

    def _write_said(self) -> None:
        said, self._said = self._said, []
        if self._transport is None or not self.is_connected:
            return
        # A subscription of the client's own may wait for its flusher, and what is said may need it.
        commands, self._pending, self._pending_data_size = self._pending + said, [], 0
        self._transport.write(b"".join(commands))

    def hear(self, sid: int, subject: str, reply: str, headers: bytes, payload: bytes) -> None:
        """Hand a message over to whoever listens."""
        handler = self._hearers.get(sid)
        if handler is None:
            return
        try:
            handler(Msg(self, subject, reply, payload, parsed(headers) if headers else None))
        except Exception:
            # Were it raised where bytes are read, the connection would be given up.
            log.exception("message_not_handled", subject=subject)

    async def _connect_to_server(self, s: Srv) -> None:
        # The base would make a transport of its own wherever there is no open one. No server of ours speaks anything but TCP.
        s.last_attempt = time.monotonic()
        self._transport = _Transport(self)
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])


class _Transport(TcpTransport):
    """A connection whose messages are handed over as they arrive; the client reads only what else the server says."""

    def __init__(self, client: LeanClient) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._client = client

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        loop = asyncio.get_running_loop()
        reader = Reader(self._client.hear, buffer_size)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        opening = loop.create_connection(lambda: protocol, uri.hostname or "", uri.port or 0)
        transport, _ = await asyncio.wait_for(opening, connect_timeout)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)


class Reader(asyncio.StreamReader):
    """Takes messages out of what arrives, whole lines of anything else are left to be read."""

    def __init__(self, hear: Callable[[int, str, str, bytes, bytes], None], limit: int = 2**15) -> None:
        super().__init__(limit)
        self._hear = hear
        #: The beginning of a message or line whose end has not arrived.
        self._begun = bytearray()
        #: Bytes without which it is not worth looking again.
        self._least = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # typeshed takes more than a socket gives
        """Take what the socket has received."""
        if self._begun:
            self._begun += data
            if len(self._begun) < self._least:
                return
            data = bytes(self._begun)
            self._begun.clear()
        at = self._least = 0
        try:
            while (end := data.find(b"\r\n", at)) >= 0:
                if data.startswith((b"HMSG ", b"MSG "), at):
                    after = self._message(data, at, end)
                    if not after:
                        break
                else:
                    after = end + 2
                    super().feed_data(data[at:after])
                at = after
        except (ValueError, IndexError):
            # No message after all: the client gives such a connection up.
            super().feed_data(data[at:])
            return
        self._begun += data[at:]

    def _message(self, data: bytes, at: int, end: int) -> int:
        """Hand a message over and return where it ends; 0 where that has not arrived. Raises ValueError, IndexError."""
        # HMSG subject sid [reply] size-of-headers size, or MSG subject sid [reply] size
        op, subject, sid, *reply, size = data[at:end].split()
        start = end + 2
        body = start + (int(reply.pop()) if op == b"HMSG" else 0)
        stop = start + int(size)
        if not start <= body <= stop or len(reply) > 1:
            raise ValueError(data[at:end])
        if len(data) < stop + 2:
            self._least = stop + 2 - at
            return 0
        self._hear(
            int(sid),
            subject.decode(),
            reply[0].decode() if reply else "",
            data[start:body],
            data[body:stop],
        )
        return stop + 2


def parsed(raw: bytes) -> dict[str, str] | None:
    """Read a block of headers, with the status that the server may have put into its first line; None if there is nothing."""
    first, _, rest = raw.partition(b"\r\n")
    found = _lines(rest)
    if status := first[len(_VERSION) :]:
        code, _, description = status.strip().partition(b" ")
        said = {"Status": code.decode()} if code.isdigit() else {}
        if description:
            said["Description"] = description.decode()
        found = {**said, **found}
    return found or None


def _lines(raw: bytes) -> dict[str, str]:
    # As we write them, every line has a known name, a colon, and its only space before the value.
    spaces = raw.translate(None, _GRAPHIC)
    if spaces == _SPACES[: len(spaces) - 2] + b"\r\n":
        words = raw.decode().split()
        if len(words) == len(spaces) // 3 * 2:
            with suppress(KeyError):
                return dict(zip(map(_NAMES.__getitem__, words[::2]), words[1::2], strict=True))
    return Client._parse_header_lines(raw)


def publication(
    subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None
) -> bytes:
    """Write the command that publishes a message. Raises BadSubjectError, BadHeaderError."""
    if not headers:
        head = f"PUB {subject} {reply} {len(payload)}\r\n".encode()
        if not subject or head.translate(None, _GRAPHIC) != b"   \r\n":
            _require(subject, reply)
        return b"%b%b\r\n" % (head, payload)
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    size = len(_VERSION) + len(lines) + 4
    head = f"HPUB {subject} {reply} {size} {size + len(payload)}\r\nNATS/1.0\r\n{lines}\r\n".encode()
    # All of it at one go: names and values consist of what needs no care, and so do the subjects.
    plain = head.translate(None, _GRAPHIC) == b"    \r\n\r\n%b\r\n" % (b" \r\n" * len(headers))
    if not (plain and subject and headers.keys() <= _KNOWN):
        _require(subject, reply)
        block = f"NATS/1.0\r\n{''.join(_careful(headers))}\r\n".encode()
        head = f"HPUB {subject} {reply} {len(block)} {len(block) + len(payload)}\r\n".encode() + block
    return b"%b%b\r\n" % (head, payload)


def _require(subject: str, reply: str) -> None:
    if not subject or any(character.isspace() for character in subject + reply):
        raise errors.BadSubjectError


def _careful(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if not (name := name.strip()):
            continue
        if not _NAME.fullmatch(name):
            raise errors.BadHeaderError(name)
        yield f"{name}: {value.strip().translate(_NEWLINES)}\r\n"
