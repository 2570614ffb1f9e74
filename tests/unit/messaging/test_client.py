"""The lean client reads and writes what the client of nats-py does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadHeaderError, BadSubjectError

from libs.messaging.client import LeanClient, Reader, parsed, publication
from libs.messaging.cloudevents import HEADERS
from libs.messaging.jetstream import _delivered

KNOWN = st.sampled_from(list(HEADERS))
NAME = st.text("abcXYZ-019", min_size=1, max_size=12)
VALUE = st.one_of(st.text("ab9%:/", max_size=12), st.text("ab z%:/\t\r\n\x0bé", max_size=12))
#: Lines as a server might hand them over, well-formed or not.
LINE = st.one_of(
    st.tuples(NAME, st.text(" ab:%é\t", max_size=9)).map(": ".join),
    st.tuples(KNOWN, st.one_of(VALUE, KNOWN.map("{}:".format))).map(": ".join),
    st.text("ab: \té\x1f\x0b", min_size=1, max_size=9),
)
STATUS = st.sampled_from(
    [
        "",
        " 100",
        " 404",
        " 503",
        " 404 No Messages",
        " 409 Consumer Deleted",
        " 100 Idle Heartbeat",
        " x9y why",
    ]
)
#: What a server says beside messages.
WORDS = st.sampled_from(["PING", "PONG", "+OK", "-ERR 'no'", 'INFO {"a": "MSG a 1 1"}'])
TOKEN = st.text("ab$_.", min_size=1, max_size=8)
#: Bodies may look like anything.
BODY = st.one_of(st.binary(max_size=20), st.sampled_from([b"\r\n", b"MSG a 1 2\r\n", b"PING\r\n"]))


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, tuple[int, str, str, bytes, bytes]]:
    """A message as the server sends it, and what is in it."""
    sid, subject, reply = draw(st.integers(0, 12)), draw(TOKEN), draw(st.one_of(st.just(""), TOKEN))
    body, block = (
        draw(BODY),
        draw(st.sampled_from([b"", b"NATS/1.0\r\na: b\r\n\r\n", b"NATS/1.0 404\r\n\r\n"])),
    )
    sizes = f"{len(block)} {len(block) + len(body)}" if block else f"{len(body)}"
    line = f"{'HMSG' if block else 'MSG'} {subject} {sid} {reply + ' ' if reply else ''}{sizes}\r\n"
    return line.encode() + block + body + b"\r\n", (sid, subject, reply, block, body)


def sent(headers: dict[str, str], subject: str = "a.b") -> Any:
    """What the client of nats-py would write."""

    async def run() -> bytes:
        client, commands = Client(), list[bytes]()

        async def keep(command: bytes, priority: bool = False) -> None:
            commands.append(command)

        client._send_command = keep  # type: ignore[method-assign, assignment]
        client._status = Client.CONNECTED
        await client.publish(subject, b"payload", reply="reply", headers=headers or None)
        return b"".join(commands)

    try:
        return asyncio.run(run())
    except (BadHeaderError, BadSubjectError) as error:
        return type(error)


def written(headers: dict[str, str], subject: str = "a.b") -> Any:
    """What ours writes."""
    try:
        return publication(subject, b"payload", "reply", headers)
    except (BadHeaderError, BadSubjectError) as error:
        return type(error)


async def heard(*pieces: bytes) -> tuple[list[tuple[int, str, str, bytes, bytes]], bytes]:
    """Messages that are found in what arrives piece by piece, and what is left to the client."""
    found: list[tuple[int, str, str, bytes, bytes]] = []
    reader = Reader(lambda *message: found.append(message))
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return found, await reader.read()


@example([":\x1f", "a\x1f: b", "a\t: b", "a:\x0bb\x0c"], "")
@example(["ce-id: ", "ce-type: "], "")
@example(["ce-id: a ce-type: b"], "")
@given(st.lists(LINE, max_size=6), STATUS)
def test_headers_are_read_as_by_the_base(lines: list[str], status: str) -> None:
    # The base takes the headers behind a bare number for its description; the server sends none there.
    assume(not lines or not status or " " in status.strip())
    raw = f"NATS/1.0{status}\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode()
    base = asyncio.run(Client()._process_headers(raw))
    assert parsed(raw) == (
        {str(getattr(name, "value", name)): value for name, value in (base or {}).items()} or None
    )


@example({"ce-id": "a b", "ce-time": "c"}, "a.b")
@example({"ce-id": "a\r\nb"}, "a.b")
@example({"a/b": "c"}, "a.b")
@given(
    st.dictionaries(st.one_of(KNOWN, NAME, st.text("a b:é\n", max_size=3)), VALUE, max_size=5),
    st.text("ab.>*$ \r\n\té", max_size=6),
)
def test_a_message_is_written_as_by_the_base(headers: dict[str, str], subject: str) -> None:
    assert written(headers, subject) == sent(headers, subject)


@given(st.lists(st.one_of(messages(), WORDS), max_size=6), st.lists(st.integers(1, 30), max_size=12))
def test_messages_are_found_however_the_bytes_arrive(said: list[Any], lengths: list[int]) -> None:
    raw = b"".join(one.encode() + b"\r\n" if isinstance(one, str) else one[0] for one in said)
    pieces, at = [], 0
    for length in lengths:
        pieces.append(raw[at : at + length])
        at += length
    found, left = asyncio.run(heard(*pieces, raw[at:]))
    assert found == [one[1] for one in said if not isinstance(one, str)]
    assert left == b"".join(one.encode() + b"\r\n" for one in said if isinstance(one, str))


async def test_a_large_message_in_small_pieces_is_put_together_once() -> None:
    body = bytes(range(256)) * 4_000
    raw = b"MSG a 1 %d\r\n%b\r\n" % (len(body), body)
    found, left = await heard(*(raw[at : at + 100] for at in range(0, len(raw), 100)))
    assert (found, left) == ([(1, "a", "", b"", body)], b"")


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a x 1\r\n",
        b"MSG a\r\n",
        b"MSG a 1 -40\r\n",
        b"MSG a 1 b c 2\r\n",
        b"MSG a 1 b 2 c\r\n",
        b"HMSG a 1 3\r\n",
        b"HMSG a 1 x 3\r\n",
        b"HMSG a 1 9 3\r\n",
    ],
)
async def test_what_is_no_message_is_left_to_the_client_to_complain_about(line: bytes) -> None:
    good = b"MSG a 1 2\r\nok\r\n"
    found, left = await heard(good + line + b"rest")
    assert (found, left) == ([(1, "a", "", b"", b"ok")], line + b"rest")


class Socket:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.mark.parametrize("connected", [True, False])
async def test_what_is_said_in_one_turn_goes_together_behind_what_the_client_has_waiting(
    connected: bool,
) -> None:
    client, socket = LeanClient(), Socket()
    client._transport = socket  # type: ignore[assignment]
    client._status = Client.CONNECTED if connected else Client.RECONNECTING
    client._pending = [b"SUB "]
    client.write(b"one ")
    client.write(b"two")
    await asyncio.sleep(0)
    assert socket.written == ([b"SUB one two"] if connected else [])
    client._status = Client.CONNECTED
    client.write(b"three")
    await asyncio.sleep(0)
    assert socket.written[-1].endswith(b"three")
    assert b"one" not in socket.written[-1]


async def test_a_handler_that_fails_costs_its_message_alone() -> None:
    client, found = LeanClient(), list[Msg]()

    def handle(message: Msg) -> None:
        if message.data == b"bad":
            raise RuntimeError("no")
        found.append(message)

    client._hearers[1] = handle
    for data in (b"bad", b"good"):
        client.hear(1, "a", "b", b"NATS/1.0\r\nx: y\r\n\r\n", data)
    client.hear(2, "a", "", b"", b"nobody listens")
    assert [(one.subject, one.reply, one.headers, one.data) for one in found] == [
        ("a", "b", {"x": "y"}, b"good")
    ]


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.EVENTS.gate-judge.3.120.44.1700000000000000000.7",
        "$JS.ACK._.hash.EVENTS.gate-judge.3.120.44.1700000000000000000.7",
        "$JS.ACK.hub.hash.EVENTS.gate-judge.3.120.44.1700000000000000000.7.random",
    ],
)
def test_deliveries_and_sequence_are_found_in_every_form_of_the_answers_subject(reply: str) -> None:
    assert _delivered(reply) == (3, 120)
