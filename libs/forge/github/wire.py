"""Sends single requests and gives every answer a class: done, refused, or unavailable with a time to wait."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from githubkit import GitHub
from githubkit.auth import BaseAuthStrategy
from githubkit.cache import MemCacheStrategy

from libs.forge.error import ForgeRefusedError, ForgeUnavailableError
from libs.forge.github.answer import Fault, Refusal
from libs.forge.github.limits import Limits

#: Sends of a request that may be sent again, and seconds before the second; doubled before the third.
SENDS, FIRST_PAUSE_S = 3, 0.5
#: Seconds between two requests that change something; GitHub asks for it.
MUTATION_PAUSE_S = 1.0


class AnswerError(ForgeRefusedError):
    """GitHub answered that it will not."""

    def __init__(self, status: int, cause: str, faults: tuple[Fault, ...] = ()) -> None:
        self.status = status
        self.faults = faults
        super().__init__(cause)


class OutcomeUnknownError(ForgeUnavailableError):
    """The request was sent, and no answer tells whether it had its effect."""


class Wire:
    """Reaches one API; all requests of a process go through one."""

    def __init__(
        self,
        api: str,
        *,
        timeout_s: float = 20.0,
        mutation_pause_s: float = MUTATION_PAUSE_S,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.api = api
        self._timeout_s = timeout_s
        self._pause_s = mutation_pause_s
        self._sleep = sleep
        self.now = now
        self._limits = Limits()
        self._mutating = asyncio.Lock()
        self._mutated = 0.0
        # githubkit keeps an app's signed claims; its own default is shared by the process, whatever the key.
        self._cache = MemCacheStrategy()
        # The machine's authorities, as git takes them; made once, because it takes tens of milliseconds.
        self._trust = ssl.create_default_context()

    async def send(
        self,
        auth: BaseAuthStrategy,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        repeatable: bool,
    ) -> httpx.Response:
        """Returns a successful answer to a path below the API, or to a whole address.

        A `repeatable` request has the same effect sent once or twice; it is sent again after what may pass.
        Raises AnswerError, OutcomeUnknownError for a request that is not repeatable, and
        ForgeUnavailableError. A limit is never waited for: the error says how long it lasts.
        """
        pause = FIRST_PAUSE_S
        for left in reversed(range(SENDS)):
            if wait := self._limits.wait_s(self.now()):
                raise ForgeUnavailableError(
                    f"GitHub's rate limit lasts another {wait:.0f} s", transient=True, retry_after_s=wait
                )
            try:
                async with self._in_turn(method):
                    return await self._once(auth, method, path, json, params)
            except ForgeUnavailableError as error:
                unsent = not isinstance(error, OutcomeUnknownError)
                if error.retry_after_s or not left or not (repeatable or unsent):
                    raise
            await self._sleep(pause)
            pause *= 2
        raise AssertionError("the last send returns or raises")

    async def _once(
        self,
        auth: BaseAuthStrategy,
        method: str,
        path: str,
        json: Mapping[str, Any] | None,
        params: Mapping[str, str | int] | None,
    ) -> httpx.Response:
        # githubkit authenticates; what it would do about failures (wait in place for a limit, send a POST again
        # after a 5xx) is done here otherwise.
        github = GitHub(
            auth,
            base_url=self.api,
            user_agent="autopilot",
            timeout=self._timeout_s,
            follow_redirects=False,
            trust_env=False,
            ssl_verify=self._trust,
            http_cache=False,
            cache_strategy=self._cache,
            auto_retry=False,
        )
        what = f"{method} {path.removeprefix(self.api)}"
        try:
            async with asyncio.timeout(self._timeout_s), github.get_async_client() as client:
                response = await client.request(method, path, json=json, params=params)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ForgeUnavailableError(
                f"GitHub cannot be reached for {what} ({type(error).__name__})", transient=True
            ) from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise OutcomeUnknownError(
                f"no whole answer to {what} ({type(error).__name__})", transient=True
            ) from None
        self._judge(response, what)
        return response

    def _judge(self, response: httpx.Response, what: str) -> None:
        status = response.status_code
        refusal = Refusal() if response.is_success else _refusal(response)
        wait = self._limits.heed(status, response.headers, refusal.message, self.now())
        if wait is not None:
            cause = f"GitHub's rate limit refused {what}: {refusal.message or status}"
            raise ForgeUnavailableError(cause, transient=True, retry_after_s=wait)
        if response.is_success:
            return
        if status >= 500 or status == 408:
            raise OutcomeUnknownError(f"GitHub answered {what} with {status}", transient=True)
        if response.is_redirect:
            raise AnswerError(status, f"the repository of {what} has moved: use its new address")
        words = "; ".join(
            dict.fromkeys(
                word
                for word in (
                    refusal.message,
                    *(one.message or f"{one.field} {one.code}" for one in refusal.faults),
                )
                if word.strip()
            )
        )
        raise AnswerError(status, f"{what} is answered with {status}: {words or 'no reason'}", refusal.faults)

    @asynccontextmanager
    async def _in_turn(self, method: str) -> AsyncIterator[None]:
        """Lets one change through at a time, and a pause between two."""
        if method == "GET":
            yield
            return
        async with self._mutating:
            early = self._mutated + self._pause_s - self.now()
            if 0 < early <= self._pause_s:
                await self._sleep(early)
            try:
                yield
            finally:
                self._mutated = self.now()


def _refusal(response: httpx.Response) -> Refusal:
    try:
        return msgspec.json.decode(response.content, type=Refusal)
    except msgspec.DecodeError:
        return Refusal()
