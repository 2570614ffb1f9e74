"""The few places in which runs execute commands of a repository."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.task import RepoSpec, RunRequest

#: Commands of one verification, and trials of one search of engine `repair`, that run at once.
VERIFYING = min(4, max(2, os.cpu_count() or 1))
SEARCHING = min(2, os.cpu_count() or 1)


class Places:
    """Hands out `count` places, first come, first served, and keeps the last free one from engines.

    An engine may hold its place for minutes: were all places with engines, every finished change of every other task
    would wait to be verified. With a single place there is nothing to keep.
    """

    def __init__(self, count: int) -> None:
        self._all = asyncio.Semaphore(count)
        self._engines = asyncio.Semaphore(max(1, count - 1))

    @asynccontextmanager
    async def held(self, request: RunRequest) -> AsyncIterator[None]:
        """Hold the place that a run needs, if it needs one; waits until it is free."""
        if not executes(request):
            yield
        elif request.stage == "implement":
            # In this order always: who waits for a place of all holds none that a verification could use.
            async with self._engines, self._all:
                yield
        else:
            async with self._all:
                yield


def executes(request: RunRequest) -> bool:
    """Tell whether a run executes commands of a repository, of which only a few may do so at once."""
    return at_once(request) > 0


def at_once(request: RunRequest) -> int:
    """Say how many commands of a repository a run executes at the same time, at most."""
    spec = request.input.spec
    match request.stage:
        case _ if spec.engine == "noop":
            return 0
        case "workspace" | "verify":
            return max(1, min(VERIFYING, max(map(_verifying, spec.repos))))
        case "implement":
            return {"repair": SEARCHING, "command": 1}.get(spec.engine, 0)
        case "monitor":
            return int(any(repo.monitor.smoke for repo in spec.repos))
        case _:
            return 0


def _verifying(repo: RepoSpec) -> int:
    named = (repo.verify.build, repo.verify.test, repo.verify.audit, *repo.fail_to_pass)
    return len(set(filter(None, named)))
