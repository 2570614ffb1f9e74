"""A forge with its git, in memory: branches and pull requests, and a door to it that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from libs.forge.error import ForgeUnavailableError, HeadMovedError, PullRequestExistsError
from libs.forge.port import PullRequest
from libs.git.error import GitTimeoutError, LeaseLostError
from tests.system.twin import TREE

if TYPE_CHECKING:
    from tests.simulation.process import Process

T = TypeVar("T")


class ForgeState:
    """What a forge holds; every call is one step."""

    def __init__(self) -> None:
        self.branches: dict[tuple[str, str], str] = {}
        self.pulls: list[PullRequest] = []
        #: What changed something, in order.
        self.log: list[str] = []

    def push(self, url: str, branch: str, commit: str, expected: str | None) -> None:
        """Move a branch that is where it is expected. Raises LeaseLostError."""
        actual = self.branches.get((url, branch))
        if actual != expected:
            raise LeaseLostError(url, branch, expected, actual)
        self.branches[url, branch] = commit
        self.log.append(f"push {branch}")

    def find(self, url: str, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from head to base."""
        found = (
            one
            for one in self.pulls
            if (one.repo, one.head, one.base, one.state) == (url, head, base, "open")
        )
        return next(found, None)

    def open(self, url: str, **given: Any) -> PullRequest:
        """Open a pull request. Raises PullRequestExistsError, HeadMovedError."""
        if known := self.find(url, given["head"], given["base"]):
            raise PullRequestExistsError(known.number, known.head, known.base)
        if self.branches.get((url, given["head"])) != given["head_commit"]:
            raise HeadMovedError(given["head"], given["head_commit"], self.branches.get((url, given["head"])))
        number = len(self.pulls) + 1
        pull = PullRequest(number=number, repo=url, state="open", tree=TREE, url=f"pull/{number}", **given)
        self.pulls.append(pull)
        self.log.append(f"open {given['head']}")
        return pull

    def change(self, number: int, **changes: Any) -> PullRequest:
        """Change what is given of a pull request."""
        given = {name: value for name, value in changes.items() if value is not None}
        self.pulls[number - 1] = msgspec.structs.replace(self.pulls[number - 1], **given)
        return self.pulls[number - 1]


class ShakyForge:
    """One process's way to the forge and to git."""

    def __init__(self, process: Process) -> None:
        self._process, self._state = process, process.world.forge

    async def _ask(self, what: str, act: Callable[[], T], *, writes: bool = False) -> T:
        """Do something there. Raises ForgeUnavailableError: before, or after it was done."""
        process, world = self._process, self._process.world
        fails = world.dice.random() < world.faults.outside
        await world.way(process)
        if process.dead:
            raise asyncio.CancelledError
        if writes and world.dice.random() < 4 * world.faults.crash:
            process.die(f"before {what}")
        if writes and world.dice.random() < 8 * world.faults.freeze:
            # Woken when somebody else may have the run: its lease was good a moment ago.
            world.stop(process)
            await asyncio.sleep(0)
        if fails and world.dice.random() < 0.5:
            raise ForgeUnavailableError("no answer", transient=True)
        result = act()
        if writes:
            world.trace.tell(process.name, f"has the forge {what}")
            if world.dice.random() < 4 * world.faults.crash:
                process.die(f"after {what}")
        if fails:
            raise ForgeUnavailableError("no answer", transient=True)
        await world.way(process)
        return result

    async def remote(self, repo_url: str) -> str:
        """Return the address to push to."""
        return repo_url

    async def branch_head(self, repo_url: str, branch: str) -> str | None:
        """Return the commit of a branch."""
        return await self._ask("head", lambda: self._state.branches.get((repo_url, branch)))

    async def find(self, repo_url: str, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from head to base."""
        return await self._ask("find", lambda: self._state.find(repo_url, head, base))

    async def get(self, repo_url: str, number: int) -> PullRequest:
        """Return a pull request."""
        return await self._ask("get", lambda: self._state.pulls[number - 1])

    async def open(self, repo_url: str, **given: Any) -> PullRequest:
        """Open a pull request."""
        return await self._ask(
            f"open {given['head']}", lambda: self._state.open(repo_url, **given), writes=True
        )

    async def update(self, repo_url: str, number: int, **changes: Any) -> PullRequest:
        """Change a pull request."""
        return await self._ask(f"update {number}", lambda: self._state.change(number, **changes), writes=True)

    async def close(self, repo_url: str, number: int) -> PullRequest:
        """Close a pull request."""
        return await self._ask(
            f"close {number}", lambda: self._state.change(number, state="closed"), writes=True
        )

    def annotator(self, repo_url: str) -> None:
        """Say that labels and checks are not kept."""
        return

    async def push(self, target: str, commit: str, ref: str, *, expected: str | None) -> None:
        """Push, as a mirror does. Raises LeaseLostError, GitTimeoutError."""
        branch = ref.removeprefix("refs/heads/")
        try:
            await self._ask(
                f"push {branch}", lambda: self._state.push(target, branch, commit, expected), writes=True
            )
        except ForgeUnavailableError as error:
            raise GitTimeoutError("push", 1.0) from error


class ShakyBroker:
    """Gives mirrors of repositories that need no clone."""

    def __init__(self, forge: ShakyForge) -> None:
        self._forge = forge

    def existing(self, url: str) -> ShakyForge:
        """Return what pushes."""
        return self._forge

    async def mirror(self, url: str) -> ShakyForge:
        """Return what pushes."""
        return self._forge
