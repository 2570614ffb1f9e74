"""Stored texts for the page's viewer: line by line, a page at a time, and searched where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from libs.evidence.error import EvidenceCorruptError, EvidenceMissingError, InvalidDigestError
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from services.dashboard.api.files import WHOLE, incident_file
from services.dashboard.api.secure import SecureRoute

#: A page holds the lines that begin within so many bytes.
PAGE = 128 * 1024
#: Bytes shown of one line, and looked through for a match.
SHOWN, LOOKED_AT = 4_000, 2**20
#: Lines of one search.
MATCHES = 200
_CHUNK = 256 * 1024
Number = Annotated[int, Query(ge=0, le=2**40)]
Sought = Annotated[str, Query(max_length=200)]


class TextPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of a text."""

    #: From 0; `pages` is at least 1.
    page: int
    pages: int
    #: Bytes of the whole text.
    size: int
    #: Number of the first line, from 1; 0 if no line begins in this page.
    first: int
    lines: list[str]
    #: Bytes left out of lines too long to be shown, by the line's number.
    cut: dict[int, int]


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A line that has what was looked for."""

    line: int
    page: int
    #: The line around the match.
    text: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line as it is read."""

    number: int
    #: Bytes before it.
    offset: int
    #: Its first bytes, and how many it has.
    content: bytes
    length: int


def routes(running: Running) -> APIRouter:
    """Build the routes to texts."""
    router = APIRouter(route_class=SecureRoute)

    @router.get("/texts/evidence/{digest}")
    async def evidence(digest: str, page: Number = 0, find: Sought = "") -> Response:
        """Show a page of an artifact, or the lines of all of it that have a text."""

        def answer() -> Response:
            store = running.parts.evidence
            size = store.stat(digest).size
            # Read whole where that is cheap: its digest is checked before anything is shown.
            chunks = [store.read(digest)] if size <= WHOLE else store.open(digest)
            return _answer(chunks, size, page, find)

        try:
            return await asyncio.to_thread(answer)
        except (InvalidDigestError, EvidenceMissingError) as error:
            raise Problem(404, "Not found", f"no evidence is stored as {digest[:64]!r}") from error
        except EvidenceCorruptError as error:
            raise Problem(500, "Evidence corrupt", str(error)) from error

    @router.get("/texts/incidents/{incident_id}/{name:path}")
    async def incident(incident_id: str, name: str, page: Number = 0, find: Sought = "") -> Response:
        """Show a page of an incident's file, or the lines of all of it that have a text."""
        path = await incident_file(running, incident_id, name)

        def answer() -> Response:
            return _answer(_chunks(path), path.stat().st_size, page, find)

        return await asyncio.to_thread(answer)

    return router


def _answer(chunks: Iterable[bytes], size: int, page: int, find: str) -> Response:
    if find:
        found = list(matches(chunks, find))
        return json_response({"matches": found[:MATCHES], "more": len(found) > MATCHES})
    return json_response(page_of(chunks, size, page))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def lines_of(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Split a stream into lines, in constant memory however long a line is."""
    number, offset, kept, length = 1, 0, b"", 0
    for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            room = LOOKED_AT - len(kept)
            content = kept + chunk[start : min(end, start + room)]
            length += end - start
            yield Line(number=number, offset=offset, content=content, length=length)
            number, offset, kept, length = number + 1, offset + length + 1, b"", 0
            start = end + 1
        kept += chunk[start : start + LOOKED_AT - len(kept)]
        length += len(chunk) - start
    if length:
        yield Line(number=number, offset=offset, content=kept, length=length)


def page_of(chunks: Iterable[bytes], size: int, page: int) -> TextPage:
    """Return the lines that begin within a page."""
    lines: list[str] = []
    first, cut = 0, {}
    for line in lines_of(chunks):
        if line.offset >= (page + 1) * PAGE:
            break
        if line.offset >= page * PAGE:
            first = first or line.number
            lines.append(_shown(line.content[:SHOWN]))
            if line.length > SHOWN:
                cut[line.number] = line.length - SHOWN
    pages = max(1, -(-size // PAGE))
    return TextPage(page=page, pages=pages, size=size, first=first, lines=lines, cut=cut)


def matches(chunks: Iterable[bytes], find: str) -> Iterator[Match]:
    """Find the first lines that have a text, whatever its case; one more than are shown tells that there are more."""
    wanted, left = find.casefold(), MATCHES + 1
    for line in lines_of(chunks):
        text = _shown(line.content)
        if (place := text.casefold().find(wanted)) >= 0:
            around = text[max(0, place - 60) : place + 140]
            yield Match(line=line.number, page=line.offset // PAGE, text=around)
            left -= 1
            if left == 0:
                return


def _shown(content: bytes) -> str:
    return content.removesuffix(b"\r").decode(errors="replace")
