"""Names what can go wrong at a forge.

ForgeError
├── ForgeUnavailableError      the forge cannot be used now; `transient` tells whether later may be better
├── ForgeRefusedError          the forge answered, and will answer the same until somebody changes something
├── PullRequestExistsError     one is open for the same head and base; adopt it
├── UnknownPullRequestError    there is none of that number
├── PullRequestClosedError     it is closed, so it cannot be changed
├── UnknownBaseError           the base is not what the head was built on
└── HeadMovedError             the branch is not at the commit that was said
"""

from __future__ import annotations


class ForgeError(Exception):
    """The forge failed."""

    transient: bool = False


class ForgeUnavailableError(ForgeError):
    """The forge cannot be used now; whether the call had an effect is unknown."""

    def __init__(self, cause: str, *, transient: bool = False, retry_after_s: float = 0.0) -> None:
        self.cause = cause
        self.transient = transient
        #: Seconds for which the forge wants to be left alone.
        self.retry_after_s = retry_after_s
        super().__init__(f"the forge cannot be used: {cause}")


class ForgeRefusedError(ForgeError):
    """The forge refused for good: a missing right, an unknown repository, a demand it cannot meet."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"the forge refused: {cause}")


class PullRequestExistsError(ForgeError):
    """A pull request is open for the same head and base."""

    def __init__(self, number: int, head: str, base: str) -> None:
        self.number = number
        self.head = head
        self.base = base
        super().__init__(f"pull request {number} is open for {head} → {base}; update that one")


class UnknownPullRequestError(ForgeError):
    """There is no such pull request."""

    def __init__(self, repo: str, number: int) -> None:
        self.repo = repo
        self.number = number
        super().__init__(f"{repo} has no pull request {number}")


class PullRequestClosedError(ForgeError):
    """The pull request is closed and cannot be changed."""

    def __init__(self, number: int, state: str) -> None:
        self.number = number
        self.state = state
        super().__init__(f"pull request {number} is {state}; open a new one")


class UnknownBaseError(ForgeError):
    """The base is not what the head was built on."""

    def __init__(self, base: str, cause: str) -> None:
        self.base = base
        self.cause = cause
        super().__init__(f"{base!r} cannot be the base: {cause}")


class HeadMovedError(ForgeError):
    """The head branch is not at the commit that was said."""

    def __init__(self, head: str, expected: str, actual: str | None) -> None:
        self.head = head
        self.expected = expected
        self.actual = actual
        super().__init__(f"{head} is at {actual or 'nothing'}, not at {expected}; push it first")
