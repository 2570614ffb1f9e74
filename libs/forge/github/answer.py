"""What is read of GitHub's answers: the fields that are needed, and no more.

An answer may gain fields or values (and on an older Enterprise Server lack some) without anything here failing.
"""

from __future__ import annotations

from typing import Any

import msgspec


class User(msgspec.Struct, frozen=True):
    """Is who wrote something."""

    login: str = ""


class Repo(msgspec.Struct, frozen=True):
    """Is a repository."""

    full_name: str
    default_branch: str = ""


class End(msgspec.Struct, frozen=True):
    """Is one end of a pull request; the repository of a deleted fork is null."""

    ref: str
    sha: str
    repo: Repo | None = None


class Label(msgspec.Struct, frozen=True):
    """Is a label."""

    name: str = ""


class Pull(msgspec.Struct, frozen=True):
    """Is a pull request."""

    number: int
    node_id: str
    state: str
    title: str
    html_url: str
    head: End
    base: End
    body: str | None = None
    draft: bool = False
    merged_at: str | None = None
    labels: tuple[Label, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """Is an object that something points to."""

    sha: str
    type: str = ""


class Ref(msgspec.Struct, frozen=True):
    """Is a reference; `object` is what it points to."""

    ref: str
    object: Target


class Commit(msgspec.Struct, frozen=True):
    """Is a commit."""

    sha: str
    tree: Target


class CheckRun(msgspec.Struct, frozen=True):
    """Is a check run."""

    id: int
    external_id: str | None = None
    html_url: str | None = None


class CheckRuns(msgspec.Struct, frozen=True):
    """Is a page of check runs."""

    check_runs: tuple[CheckRun, ...]


class Status(msgspec.Struct, frozen=True):
    """Is a status of a commit."""

    url: str
    state: str
    context: str
    description: str | None = None


class Remark(msgspec.Struct, frozen=True):
    """Is a comment or a review."""

    html_url: str
    body: str | None = None
    user: User | None = None
    author_association: str = "NONE"
    created_at: str = ""
    submitted_at: str = ""
    state: str = ""


class Issue(msgspec.Struct, frozen=True):
    """Is an issue."""

    title: str
    html_url: str
    body: str | None = None
    user: User | None = None
    author_association: str = "NONE"
    labels: tuple[Label | str, ...] = ()
    #: Set where the issue is a pull request.
    pull_request: Any = None


class App(msgspec.Struct, frozen=True):
    """Is a GitHub app."""

    slug: str = ""


class Installation(msgspec.Struct, frozen=True):
    """Is an app in an account."""

    id: int


class AccessToken(msgspec.Struct, frozen=True):
    """Is a token of an installation; `expires_at` is ISO 8601."""

    token: str
    expires_at: str


class Rate(msgspec.Struct, frozen=True):
    """Is a primary limit; `reset` is in seconds since the epoch."""

    limit: int
    remaining: int
    reset: int


class RateLimit(msgspec.Struct, frozen=True):
    """Is where the primary limit stands."""

    rate: Rate


class Drafted(msgspec.Struct, frozen=True):
    """Is what a mutation answers; `errors` are GraphQL's, sent with status 200."""

    errors: tuple[Fault, ...] = ()


class Fault(msgspec.Struct, frozen=True):
    """Is one of the reasons of a refusal."""

    message: str = ""
    field: str = ""
    code: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """Is the body of an answer that is an error; `errors` are faults or plain sentences."""

    message: str = ""
    errors: tuple[Fault | str, ...] | str = ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Returns the reasons in one form."""
        given = (self.errors,) if isinstance(self.errors, str) else self.errors
        return tuple(Fault(message=one) if isinstance(one, str) else one for one in given)
