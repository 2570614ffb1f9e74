"""Requests, answers and faults of the test's GitHub, and how they travel."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.integration.forge.shapes import shaped


@dataclass
class Request:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Return the document."""
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


@dataclass
class Answer:
    """One answer."""

    status: int
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Sent instead of the document.
    raw: bytes | None = None

    @property
    def content(self) -> bytes:
        """Return the bytes."""
        if self.raw is not None:
            return self.raw
        return b"" if self.document is None else json.dumps(self.document).encode()


@dataclass
class Fault:
    """What goes wrong with the next request that matches."""

    method: str
    path: str
    #: Whether the request has its effect all the same.
    effect: bool = False
    #: Sent instead of the real answer.
    answer: Answer | None = None
    #: Without an answer: `drop` closes the connection, `cut` sends half of the real answer, `hang` sends nothing.
    way: str = "drop"
    times: int = 1

    def matches(self, request: Request) -> bool:
        """Tell whether this request is the one."""
        return self.times > 0 and request.method == self.method and bool(re.search(self.path, request.path))


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, message: str, *errors: dict[str, str]) -> None:
        document: dict[str, Any] = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors:
            document = shaped("ValidationError", **document, errors=list(errors))
        self.answer = Answer(status, document)


async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    line = await reader.readline()
    if not line:
        return None
    method, target, _ = line.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Request(method, unquote(parts.path), query, headers, body)


async def write(writer: asyncio.StreamWriter, answer: Answer, *, length: int | None = None) -> None:
    content = answer.content
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(content) if length is None else length),
        "Connection": "close",
        **answer.headers,
    }
    lines = [f"HTTP/1.1 {answer.status} Word", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + content)
    await writer.drain()
