"""Asks the scheduler why tasks do not run yet: their place in the order is about all tasks, and no event tells it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import httpx
import msgspec

from libs.runtime.clock import Clock, is_recent

#: Seconds for one answer. The page is shown without it and waits for nothing.
TIMEOUT_S = 3.0
#: For how long an answer is good, also that there was none: however many look, the scheduler is asked once.
FRESH = timedelta(seconds=1)
_NOTHING, _NONE = msgspec.Raw(b"[]"), msgspec.Raw(b"null")


class SchedulerUnavailableError(Exception):
    """The scheduler did not answer; the message says why."""


class WaitView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task does not run yet, in the scheduler's own words and numbers (docs/scheduling.md)."""

    id: str
    #: In words; empty for a task that nothing keeps from running.
    why_not_yet: str = ""
    waits: msgspec.Raw = _NOTHING
    position: msgspec.Raw = _NONE
    estimate: msgspec.Raw = _NONE


class _Answer(msgspec.Struct, frozen=True):
    tasks: tuple[WaitView, ...]


class Waits:
    """What the scheduler says of tasks that wait, kept for a moment."""

    def __init__(self, url: str, token: str, clock: Clock) -> None:
        self._url, self._token, self._clock = url, token, clock
        self.timeout_s = TIMEOUT_S
        self._known: dict[str, tuple[datetime, WaitView]] = {}
        self._failed: tuple[datetime, str] | None = None
        self._asking = asyncio.Lock()

    async def of(self, task_ids: Iterable[str]) -> list[WaitView]:
        """Return what is said of tasks; those that the scheduler does not know are left out.

        Raises SchedulerUnavailableError.
        """
        names = tuple(dict.fromkeys(task_ids))
        # One question at a time: who comes meanwhile finds its answer.
        async with self._asking:
            at = self._clock.now()
            self._known = {
                name: known for name, known in self._known.items() if is_recent(known[0], at, FRESH)
            }
            if unknown := [name for name in names if name not in self._known]:
                if self._failed and is_recent(self._failed[0], at, FRESH):
                    raise SchedulerUnavailableError(self._failed[1])
                try:
                    answer = await self._ask(unknown)
                except SchedulerUnavailableError as error:
                    self._failed = at, str(error)
                    raise
                self._known |= {one.id: (at, one) for one in answer.tasks}
            return [self._known[name][1] for name in names if name in self._known]

    async def _ask(self, task_ids: Sequence[str]) -> _Answer:
        try:
            async with asyncio.timeout(self.timeout_s), self._client() as client:
                answer = await client.get("/v1/tasks", params={"id": list(task_ids)})
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=_Answer)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise SchedulerUnavailableError(f"no answer within {self.timeout_s:g} s") from error
        except httpx.HTTPStatusError as error:
            raise SchedulerUnavailableError(f"it answers {error.response.status_code}") from error
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as error:
            raise SchedulerUnavailableError(f"{type(error).__name__}: {error}") from error

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=self.timeout_s,
            trust_env=False,
            # Trusts nobody, and needs not: services speak plain HTTP among each other.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
