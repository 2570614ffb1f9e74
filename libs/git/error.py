"""Names everything that can go wrong with git.

GitError
├── GitMissingError              git is not installed
├── GitTimeoutError              a call or a lock took too long; for a push the outcome is unknown
│   └── LockTimeoutError
├── CloneError                   the source cannot be read
├── UnknownRevisionError         no such branch, tag or commit
├── UnsupportedRepositoryError   it can be read, but not worked on (submodules, no commits, ...)
├── PatchError                   a patch does not apply, or reaches where it must not
├── MergeConflictError           commits cannot be merged by machine
├── OversizeError                content is larger than the caller allows
├── WorktreeError                a worktree cannot be made, found or removed
├── PushError                    the target refused
│   └── LeaseLostError           somebody else moved the branch
└── GitCommandError              git failed in a way that has no name here
"""

from __future__ import annotations

from pathlib import Path


class GitError(Exception):
    """Git failed."""

    #: True if the same call may succeed later without anything being changed (network, locks).
    transient: bool = False


class GitMissingError(GitError):
    """Git is not installed; install the package "git" (2.38 or newer)."""

    def __init__(self) -> None:
        super().__init__(str(type(self).__doc__))


class GitTimeoutError(GitError):
    """Git took too long and was stopped with everything it had started."""

    transient = True

    def __init__(self, command: str, seconds: float) -> None:
        self.command = command
        self.seconds = seconds
        super().__init__(f"git {command} did not end within {seconds:g} s and was stopped; try again later")


class LockTimeoutError(GitTimeoutError):
    """Another process kept the repository's lock for too long."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(f"lock {path.name}", seconds)
        self.path = path
        self.args = (f"{path} was held by another process for {seconds:g} s; see which with: fuser {path}",)


class CloneError(GitError):
    """The repository cannot be read."""

    def __init__(self, url: str, cause: str, *, remedy: str = "", transient: bool = False) -> None:
        self.url = url
        self.cause = cause
        self.transient = transient
        super().__init__(f"cannot read {url}: {cause}" + (f" ({remedy})" if remedy else ""))


class UnknownRevisionError(GitError):
    """There is no such branch, tag or commit."""

    def __init__(self, revision: str, where: str, hint: str = "") -> None:
        self.revision = revision
        self.where = where
        super().__init__(f"{where} has no branch, tag or commit {revision!r}" + (f": {hint}" if hint else ""))


class UnsupportedRepositoryError(GitError):
    """The repository can be read, but not worked on."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where} cannot be worked on: {reason}")


class PatchError(GitError):
    """The patch does not apply; nothing of it was applied."""

    def __init__(self, cause: str, *, path: str | None = None, line: int | None = None) -> None:
        self.cause = cause
        self.path = path
        self.line = line
        super().__init__(f"the patch does not apply, nothing was changed: {cause}")


class MergeConflictError(GitError):
    """The commits change the same places in different ways."""

    def __init__(self, ours: str, theirs: str, paths: tuple[str, ...]) -> None:
        self.ours = ours
        self.theirs = theirs
        self.paths = paths
        named = ", ".join(paths) or "the histories have nothing in common"
        super().__init__(f"{theirs[:12]} cannot be merged into {ours[:12]}: {named}")


class OversizeError(GitError):
    """The content is larger than the caller allows."""

    def __init__(self, what: str, limit: int, size: int | None = None) -> None:
        self.what = what
        self.limit = limit
        self.size = size
        measured = f"{size} bytes" if size is not None else "more"
        super().__init__(f"{what} is larger than {limit} bytes ({measured})")


class WorktreeError(GitError):
    """A worktree cannot be made, found or removed."""

    def __init__(self, path: Path, cause: str) -> None:
        self.path = path
        self.cause = cause
        super().__init__(f"worktree {path}: {cause}")


class PushError(GitError):
    """The target of a push refused it."""

    def __init__(self, target: str, ref: str, cause: str, *, transient: bool = False) -> None:
        self.target = target
        self.ref = ref
        self.cause = cause
        self.transient = transient
        super().__init__(f"cannot push {ref} to {target}: {cause}")


class LeaseLostError(PushError):
    """Somebody else moved the branch since it was last looked at."""

    def __init__(self, target: str, ref: str, expected: str | None, actual: str | None) -> None:
        self.expected = expected
        self.actual = actual
        found, wanted = actual or "nothing", expected or "nothing"
        super().__init__(target, ref, f"it is at {found}, not at {wanted} as expected; look again")


class GitCommandError(GitError):
    """Git failed in a way that has no name here."""

    def __init__(self, command: str, code: int, stderr: str) -> None:
        self.command = command
        self.code = code
        self.stderr = stderr
        super().__init__(f"git {command} failed ({code}): {stderr.strip() or 'it said nothing'}")
