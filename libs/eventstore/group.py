"""Group commit: what waits while a commit is under way goes together in the next one. No timer, no latency added."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")

#: Requests of one transaction. Each is a subtransaction, and from 64 on Postgres loses track of them in memory.
GROUP_LIMIT = 60


class GroupCommit(Generic[Request, Result]):
    """Runs one commit at a time over everything that has been asked for since the last one began."""

    def __init__(
        self,
        commit: Callable[[Sequence[Request]], Awaitable[Sequence[Result]]],
        limit: int = GROUP_LIMIT,
    ) -> None:
        self._commit, self._limit = commit, limit
        self._waiting: deque[tuple[Request, asyncio.Future[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Result:
        """Wait for the request's own result. An error of the commit is raised for every member of its group.

        A caller that is cancelled does not take its request back: whether it took effect is unknown to it.
        """
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
                await self._settle(group)
        finally:
            self._worker = None
            # Not empty only when this task was cancelled: nobody would come back for them.
            for _, done in self._waiting:
                done.cancel()
            self._waiting.clear()

    async def _settle(self, group: Sequence[tuple[Request, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._commit([request for request, _ in group])
        except BaseException as error:
            for _, done in group:
                if not done.done():
                    done.set_exception(error) if isinstance(error, Exception) else done.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), result in zip(group, results, strict=True):
            if not done.done():
                done.set_result(result)
