"""Has the token for a repository: one that a person made, or one that an app's installation is given for an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, Protocol, TypeVar

import httpx
import msgspec
from githubkit.auth import AppAuthStrategy, TokenAuthStrategy
from jwt import PyJWTError

from libs.forge.error import ForgeRefusedError, ForgeUnavailableError
from libs.forge.github.address import Address
from libs.forge.github.answer import AccessToken, App, Installation, RateLimit
from libs.forge.github.wire import AnswerError, Wire

#: Seconds before its end at which a token is replaced: longer than any clone or push may take.
_EARLY_S = 300.0
Answer = TypeVar("Answer")


class Tokens(Protocol):
    """Knows the token for each repository."""

    #: Apps may publish check runs, people's tokens commit statuses only.
    kind: Literal["token", "app"]

    async def token(self, address: Address) -> str:
        """Returns the token; raises ForgeError."""

    def forget(self, address: Address) -> bool:
        """Drops a token that was refused; returns whether asking again gives another."""

    async def check(self) -> str:
        """Returns a sentence on what GitHub says of the secret; raises ForgeError. For `doctor`."""


class GivenToken:
    """Is the one token that a person made."""

    kind: Literal["token", "app"] = "token"

    def __init__(self, wire: Wire, token: str) -> None:
        self._wire = wire
        self._token = token

    async def token(self, address: Address) -> str:
        """Returns it."""
        return self._token

    def forget(self, address: Address) -> bool:
        """Returns False: there is no other."""
        return False

    async def check(self) -> str:
        """Asks for the token's rate limit, which costs nothing of it."""
        auth = TokenAuthStrategy(self._token)
        rate = decoded(await self._wire.send(auth, "GET", "/rate_limit", repeatable=True), RateLimit).rate
        return f"the token is valid; {rate.remaining} of {rate.limit} requests are left this hour"


class AppTokens:
    """Asks for a token per repository, which reaches nothing but that repository."""

    kind: Literal["token", "app"] = "app"

    def __init__(self, wire: Wire, app_id: str, key: str) -> None:
        self._wire = wire
        self._auth = AppAuthStrategy(app_id, key)
        self._known: dict[Address, tuple[str, float]] = {}
        self._asking = asyncio.Lock()

    async def token(self, address: Address) -> str:
        """Returns a token with some minutes to live; raises ForgeRefusedError and ForgeUnavailableError."""
        async with self._asking:
            token, until = self._known.get(address, ("", 0.0))
            if until - _EARLY_S < self._wire.now():
                token, until = await self._ask(address)
                self._known[address] = token, until
        return token

    def forget(self, address: Address) -> bool:
        """Drops the token; returns whether there was one."""
        return self._known.pop(address, None) is not None

    async def check(self) -> str:
        """Asks who the app is."""
        with _key_errors():
            app = decoded(await self._wire.send(self._auth, "GET", "/app", repeatable=True), App)
        return f"the key belongs to the app {app.slug}; it works where that is installed"

    async def _ask(self, address: Address) -> tuple[str, float]:
        send = self._wire.send
        try:
            with _key_errors():
                found = await send(self._auth, "GET", f"{address.path}/installation", repeatable=True)
            path = f"/app/installations/{decoded(found, Installation).id}/access_tokens"
            # Sent twice it makes two tokens, of which one is never used.
            made = await send(
                self._auth, "POST", path, json={"repositories": [address.name]}, repeatable=True
            )
        except AnswerError as error:
            if error.status == 404:
                raise ForgeRefusedError(f"the GitHub app is not installed on {address}") from None
            if error.status == 401:
                raise ForgeRefusedError("GitHub does not know the app by its id and key") from None
            raise
        token = decoded(made, AccessToken)
        return token.token, datetime.fromisoformat(token.expires_at).timestamp()


@contextmanager
def _key_errors() -> Iterator[None]:
    """What a library says of a key it cannot read is not shown: it may quote from it."""
    try:
        yield
    except (ValueError, TypeError, PyJWTError) as error:
        raise ForgeRefusedError(f"the app's key cannot be used ({type(error).__name__})") from None


def decoded(response: httpx.Response, wanted: type[Answer]) -> Answer:
    """Returns an answer's body; raises ForgeUnavailableError if it is not what GitHub answers."""
    try:
        return msgspec.json.decode(response.content, type=wanted)
    except msgspec.DecodeError as error:
        kind = response.headers.get("content-type", "no type")
        cause = f"GitHub's answer cannot be read ({kind}): {error}"
        raise ForgeUnavailableError(cause, transient=True) from None
