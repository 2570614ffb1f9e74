"""Evidence and incident files, as they are stored. They are made by programs nobody trusts and never shown as HTML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
from fastapi import APIRouter
from fastapi.responses import FileResponse, Response, StreamingResponse

from contracts.message import TOKEN
from libs.evidence.error import EvidenceCorruptError, EvidenceMissingError, InvalidDigestError
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from services.dashboard.api import views
from services.dashboard.api.secure import CONTENT_POLICY, SecureRoute
from services.dashboard.projections.documents import IncidentDocument

#: Bytes up to which evidence is read whole: to tell JSON from text, and to check its digest before anything is sent.
WHOLE = 1024 * 1024
#: Files of one incident that are listed.
LIST_LIMIT = 1_000
_TEXT = "text/plain; charset=utf-8"
_HEADERS = {"Content-Security-Policy": CONTENT_POLICY}


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an incident."""

    name: str
    #: Bytes.
    size: int


def routes(running: Running) -> APIRouter:
    """Build the routes to files."""
    router = APIRouter(route_class=SecureRoute)

    @router.get("/evidence/{digest}")
    async def evidence(digest: str) -> Response:
        """Return an artifact's content as text, or as JSON where it is JSON."""
        try:
            chunks = await asyncio.to_thread(running.parts.evidence.open, digest)
            head, rest = await asyncio.to_thread(_begin, chunks)
        except (InvalidDigestError, EvidenceMissingError) as error:
            raise Problem(
                404, "Not found", f"no evidence is stored as {digest[:64]!r}; it may have been removed"
            ) from error
        except EvidenceCorruptError as error:
            raise Problem(500, "Evidence corrupt", str(error)) from error
        headers = {**_HEADERS, "ETag": f'"{digest}"', "Cache-Control": "private, max-age=86400"}
        if rest is None:
            return Response(head, headers=headers, media_type="application/json" if _is_json(head) else _TEXT)
        return StreamingResponse(_whole(head, rest), headers=headers, media_type=_TEXT)

    @router.get("/incidents")
    async def incidents(limit: int = 100, before: str = "") -> Response:
        """List incidents, newest first."""
        found = await views.listing(
            running.store,
            "incident",
            IncidentDocument,
            limit=min(max(limit, 1), 500),
            before=before,
            keep=lambda _: True,
        )
        return json_response({"incidents": found.items, "next": found.next})

    @router.get("/incidents/{incident_id}")
    async def incident(incident_id: str) -> Response:
        """Show an incident and name its files."""
        document = await views.known(running.store, "incident", incident_id, IncidentDocument)
        files = await asyncio.to_thread(_files, _folder(running, incident_id))
        return json_response({**msgspec.structs.asdict(document), "files": files})

    @router.get("/incidents/{incident_id}/files/{name:path}")
    async def file(incident_id: str, name: str) -> Response:
        """Return one file of an incident."""
        path = await incident_file(running, incident_id, name)
        headers = dict(_HEADERS)
        if path.suffix == ".json":
            return FileResponse(path, headers=headers, media_type="application/json")
        if await asyncio.to_thread(_is_text, path):
            return FileResponse(path, headers=headers, media_type=_TEXT)
        headers["Content-Disposition"] = "attachment"
        return FileResponse(path, headers=headers, media_type="application/octet-stream")

    return router


async def incident_file(running: Running, incident_id: str, name: str) -> Path:
    """Find one file of an incident. Raises Problem 404."""
    path = await asyncio.to_thread(_inside, _folder(running, incident_id), name)
    if path is None:
        raise Problem(404, "Not found", f"incident {incident_id[:120]!r} has no file {name[:200]!r}")
    return path


def _folder(running: Running, incident_id: str) -> Path:
    if not TOKEN.match(incident_id):
        raise Problem(404, "Not found", f"there is no incident {incident_id[:120]!r}")
    incidents: Path = running.parts.incidents
    return incidents / incident_id


def _begin(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """Read the beginning; and what is left, if it is more than one answer should hold."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) > WHOLE:
            return head, chunks
    return head, None


async def _whole(head: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    # A digest that turns out wrong at the end breaks the answer off: the client sees that it is not complete.
    yield head
    while chunk := await asyncio.to_thread(next, rest, b""):
        yield chunk


def _is_json(content: bytes) -> bool:
    if content[:1] not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(8_192)


def _files(folder: Path) -> list[FileView]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [
        FileView(name=path.relative_to(folder).as_posix(), size=path.stat().st_size)
        for path in found[:LIST_LIMIT]
    ]


def _inside(folder: Path, name: str) -> Path | None:
    """Find a regular file that really is below a folder; symlinks do not lead out of it."""
    try:
        root, path = folder.resolve(strict=True), (folder / name).resolve(strict=True)
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None
