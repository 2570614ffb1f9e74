"""Says what the product needs of a forge; `LocalForge` is the one that needs nothing but git."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

State = Literal["open", "closed", "merged"]


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Is a pull request as the forge has it."""

    number: int
    #: The repository's address as the task gave it, without credentials.
    repo: str
    #: Branch names without `refs/heads/`.
    head: str
    base: str
    head_commit: str
    base_commit: str
    #: Tree id of `head_commit`; receipts are bound to it.
    tree: str
    title: str
    body: str
    state: State
    draft: bool
    url: str
    #: Links to the proof, in the order in which they are to be read.
    evidence: tuple[str, ...]


class Forge(Protocol):
    """Keeps pull requests; at most one is open per head and base.

    A branch is pushed with `Mirror.push(await forge.remote(url), ...)` before its pull request is opened or
    moved to it.
    Every call raises ForgeUnavailableError; after that, or a crash, `find` tells what became of it.
    """

    async def remote(self, repo_url: str) -> str:
        """Returns the address to push branches to."""

    async def branch_head(self, repo_url: str, branch: str) -> str | None:
        """Returns the commit a branch is at, for the lease of the next push, or None."""

    async def find(self, repo_url: str, head: str, base: str) -> PullRequest | None:
        """Returns the open pull request from head to base, or None."""

    async def get(self, repo_url: str, number: int) -> PullRequest:
        """Returns a pull request in any state; raises UnknownPullRequestError."""

    async def list(self, repo_url: str) -> tuple[PullRequest, ...]:
        """Returns all pull requests in any state, by number."""

    async def open(
        self,
        repo_url: str,
        *,
        head: str,
        base: str,
        head_commit: str,
        title: str,
        body: str,
        draft: bool = False,
        evidence: tuple[str, ...] = (),
        base_commit: str | None = None,
    ) -> PullRequest:
        """Opens a pull request.

        Without `base_commit`, the base must be a branch that the forge has.
        Raises PullRequestExistsError, decided atomically; UnknownBaseError; HeadMovedError.
        """

    async def update(
        self,
        repo_url: str,
        number: int,
        *,
        head_commit: str | None = None,
        base_commit: str | None = None,
        title: str | None = None,
        body: str | None = None,
        draft: bool | None = None,
        evidence: tuple[str, ...] | None = None,
    ) -> PullRequest:
        """Changes what is given of an open pull request; changing nothing leaves no trace.

        Raises UnknownPullRequestError, PullRequestClosedError, UnknownBaseError and HeadMovedError.
        """

    async def close(self, repo_url: str, number: int, *, merged: bool = False) -> PullRequest:
        """Ends a pull request; ending it again changes nothing. Raises UnknownPullRequestError."""
