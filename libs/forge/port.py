"""Says what the product needs of a forge; `LocalForge` needs nothing but git, `GitHubForge` is GitHub."""

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
    Every call raises ForgeUnavailableError; after that, or a crash, `find` tells what became of it. It raises
    ForgeRefusedError for what waiting does not change.
    """

    async def remote(self, repo_url: str) -> str:
        """Returns the address to push branches to."""

    async def check_base(self, repo_url: str, base: str) -> None:
        """Raises UnknownBaseError for a base onto which no pull request can be opened, before any work is done."""

    async def branch_head(self, repo_url: str, branch: str) -> str | None:
        """Returns the commit a branch is at, for the lease of the next push, or None."""

    async def find(self, repo_url: str, head: str, base: str) -> PullRequest | None:
        """Returns the open pull request from head to base, or None."""

    async def get(self, repo_url: str, number: int) -> PullRequest:
        """Returns a pull request in any state; raises UnknownPullRequestError."""

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

    async def close(self, repo_url: str, number: int) -> PullRequest:
        """Closes a pull request; closing it again changes nothing. Raises UnknownPullRequestError."""

    def annotator(self, repo_url: str) -> Annotator | None:
        """Returns what puts labels, checks and comments there, or None where the forge keeps none."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Is a verdict on a commit, shown beside it."""

    #: Names it among all of the commit: the same key again is the same check.
    key: str
    commit: str
    #: `neutral` where nothing was measured or nobody has reviewed.
    conclusion: Literal["success", "neutral"]
    #: One line, at most 140 characters.
    title: str
    #: Markdown.
    summary: str


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """Is what somebody wrote to a pull request: untrusted text, cut and without what is invisible."""

    kind: Literal["comment", "review", "line"]
    author: str
    #: How the author stands to the repository, in the forge's words (`OWNER`, `MEMBER`, `NONE`).
    association: str
    body: str
    #: Of a review: what it asks for, in the forge's words (`APPROVED`, `CHANGES_REQUESTED`).
    state: str
    at: str
    url: str


class Annotator(Protocol):
    """Adds to a pull request what is useful but proves nothing; doing it again changes nothing.

    Every call raises ForgeUnavailableError and ForgeRefusedError.
    """

    async def label(self, repo_url: str, number: int, name: str) -> bool:
        """Labels a pull request; returns False if it was labelled already."""

    async def check(self, repo_url: str, check: Check) -> tuple[str, bool]:
        """Publishes a check; returns its address, and False if it was published already."""

    async def comments(self, repo_url: str, number: int) -> tuple[Comment, ...]:
        """Returns what people wrote, oldest first."""
