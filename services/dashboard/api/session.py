"""Sessions of browsers: one-time links and signed cookies. The API token itself never reaches a page or a URL."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from fastapi import Request

from libs.runtime.clock import Clock
from libs.runtime.http import Problem, bearer

#: How long a one-time link can be used, and how long the session lasts that it begins.
LINK_LIFE, SESSION_LIFE = timedelta(minutes=10), timedelta(hours=12)
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class Sessions:
    """Makes and checks signed tokens; it remembers nothing but the links that have been used."""

    def __init__(self, key: str, clock: Clock) -> None:
        self._clock = clock
        self._session_key = _derived(key, "session")
        # Used links are remembered in memory only: a link made before a restart must not come back to life after it.
        self._link_key = _derived(key, f"link:{secrets.token_hex(16)}")
        self._used: dict[str, datetime] = {}
        #: Cookies do not know ports: two stacks on one host need two names.
        self.cookie = f"autopilot_session_{_derived(key, 'cookie').hex()[:8]}"

    def make_link(self) -> tuple[str, datetime]:
        """Return a token for one login, and when it expires."""
        return _sign(self._link_key, until := self._clock.now() + LINK_LIFE), until

    def use_link(self, token: str) -> bool:
        """Tell whether a link's token is good; it never is again."""
        now = self._clock.now()
        self._used = {used: until for used, until in self._used.items() if until > now}
        until = _verified(self._link_key, token, now)
        if until is None or token in self._used:
            return False
        self._used[token] = until
        return True

    def begin(self) -> str:
        """Return the value of a new session's cookie."""
        return _sign(self._session_key, self._clock.now() + SESSION_LIFE)

    def live(self, request: Request) -> bool:
        """Tell whether a request comes from a browser with a session."""
        value = request.cookies.get(self.cookie, "")
        return _verified(self._session_key, value, self._clock.now()) is not None


def reader(sessions: Sessions, api_token: str) -> Callable[[Request], Awaitable[None]]:
    """Build a dependency that wants the bearer token or, for reading, a session's cookie."""
    by_token = bearer(api_token)

    async def check(request: Request) -> None:
        if "authorization" in request.headers:
            await by_token(request)
        elif request.method not in _SAFE_METHODS:
            raise Problem(403, "Forbidden", "a browser's session may only read")
        elif not sessions.live(request):
            raise Problem(
                401,
                "Unauthorized",
                "send `Authorization: Bearer <token>`, or open a new link from `autopilot status`",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return check


def _derived(key: str, purpose: str) -> bytes:
    return hmac.digest(key.encode(), f"autopilot dashboard {purpose}".encode(), hashlib.sha256)


def _sign(key: bytes, until: datetime) -> str:
    body = f"{int(until.timestamp())}.{secrets.token_urlsafe(18)}"
    return f"{body}.{hmac.digest(key, body.encode(), hashlib.sha256).hex()}"


def _verified(key: bytes, token: str, now: datetime) -> datetime | None:
    """Return when a token expires; None if it is not ours or has expired."""
    body, _, signature = token.rpartition(".")
    right = hmac.digest(key, body.encode(), hashlib.sha256).hex()
    if not hmac.compare_digest(signature.encode(), right.encode()):
        return None
    until = datetime.fromtimestamp(int(body.partition(".")[0]), tz=now.tzinfo)
    return until if until > now else None
