"""The lean client reads and writes what the client of nats-py does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import BadHeaderError

from libs.messaging.client import LeanClient
from libs.messaging.cloudevents import HEADERS
from libs.messaging.jetstream import _delivered

KNOWN = st.sampled_from(list(HEADERS))
NAME = st.text("abcXYZ-019", min_size=1, max_size=12)
VALUE = st.one_of(st.text("ab9%:/", max_size=12), st.text("ab z%:/\t\r\n\x0bé", max_size=12))
#: Lines as a server might hand them over, well-formed or not.
LINE = st.one_of(
    st.tuples(NAME, st.text(" ab:%é\t", max_size=9)).map(": ".join), st.text("ab: \té\x1f\x0b", max_size=9)
)


def sent(kind: type[Client], headers: dict[str, str]) -> Any:
    """What a client hands over to its connection."""

    async def run() -> list[bytes]:
        client, commands = kind(), list[bytes]()

        async def keep(command: bytes, priority: bool = False) -> None:
            commands.append(command)

        client._send_command = keep  # type: ignore[method-assign]
        await client._send_publish("a.b", "reply", b"payload", 7, headers)
        return commands

    try:
        return asyncio.run(run())
    except BadHeaderError:
        return BadHeaderError


@example([":\x1f", "a\x1f: b", "a\t: b", "a:\x0bb\x0c"])
@given(st.lists(LINE, max_size=6))
def test_headers_are_read_as_by_the_base(lines: list[str]) -> None:
    raw = "\r\n".join([*lines, ""]).encode()
    assert LeanClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


@given(st.dictionaries(st.one_of(KNOWN, NAME, st.text("a b:é\n", max_size=3)), VALUE, max_size=5))
def test_headers_are_written_as_by_the_base(headers: dict[str, str]) -> None:
    assert sent(LeanClient, headers) == sent(Client, headers)


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
