"""What a browser needs: the login by a one-time link, the page, and its files."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from libs.runtime.http import Problem, bearer, json_response
from libs.runtime.running import Running
from services.dashboard.api.secure import SecureRoute
from services.dashboard.api.session import SESSION_LIFE, Sessions

PAGE = Path(__file__).parent.parent / "page"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """A link that begins one session of one browser."""

    url: str
    expires_at: datetime


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the page; the same for everybody, nothing in it is secret."""

    content: bytes
    media_type: str
    etag: str


def assets() -> dict[str, Asset]:
    """Read the page's files."""
    found = {}
    for path in sorted(PAGE.iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[path.name] = Asset(content=content, media_type=_TYPES[path.suffix], etag=etag)
    return found


def routes(running: Running) -> APIRouter:
    """Build the routes for browsers."""
    router = APIRouter(route_class=SecureRoute)
    files = assets()

    def sessions() -> Sessions:
        made: Sessions = running.parts.sessions
        return made

    @router.post(
        "/api/v1/session-links", status_code=201, dependencies=[Depends(bearer(running.config.api_token))]
    )
    async def make_link(request: Request) -> Response:
        """Make a link that a browser can open once; it holds no credential but its own token."""
        token, until = sessions().make_link()
        base = str(request.base_url).rstrip("/")
        return json_response(LinkView(url=f"{base}/login?token={token}", expires_at=until), 201)

    @router.get("/login")
    async def login(request: Request, token: str = "") -> Response:
        """Turn a one-time link into a session."""
        if not sessions().use_link(token[:500]):
            return show("expired.html", 403)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            sessions().cookie,
            sessions().begin(),
            max_age=int(SESSION_LIFE.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @router.get("/")
    async def page(request: Request) -> Response:
        """Show the page, or how to get in."""
        return show("index.html") if sessions().live(request) else show("welcome.html", 401)

    @router.get("/page/{name}")
    async def file(name: str, request: Request) -> Response:
        """Return a file of the page."""
        if name not in files or name.endswith(".html"):
            raise Problem(404, "Not found", f"the page has no file {name[:100]!r}")
        asset = files[name]
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    def show(name: str, status: int = 200) -> Response:
        return Response(files[name].content, status, media_type=files[name].media_type)

    return router
