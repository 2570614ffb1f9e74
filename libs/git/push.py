"""Moves a branch of another repository, but only from where it was last seen."""

from __future__ import annotations

import contextlib
import re

from libs.git.credentials import Credentials
from libs.git.environment import serving
from libs.git.error import LeaseLostError, PushError
from libs.git.process import Completed
from libs.git.repository import Repository
from libs.git.revision import is_branch_name
from libs.git.source import advertised, cannot_read
from libs.git.url import check, local_path, redact

_TRANSIENT = re.compile(
    r"could not resolve host|connection (refused|reset|timed out)|early EOF|hung up|\.lock': File exists",
    re.IGNORECASE,
)


async def push(
    repository: Repository,
    target: str,
    commit: str,
    ref: str,
    *,
    expected: str | None,
    owned: Repository | None,
    credentials: Credentials,
) -> None:
    """Pushes under a lease and returns when the ref is at the commit, by this push or an earlier one.

    `owned` is the target if it is one of ours: then its lock is held, so that lock files which a killed push
    left there can be told from live ones and removed.
    Raises LeaseLostError, PushError and GitTimeoutError (outcome unknown).
    """
    check(target)
    if not ref.startswith("refs/") or not is_branch_name(ref):
        raise PushError(redact(target), ref, "a full ref name (refs/heads/...) is needed")
    serve = [f"--receive-pack={serving('receive-pack')}"] if local_path(target) is not None else []
    args = ["push", "--porcelain", "--no-verify", "--no-signed", "--recurse-submodules=no", *serve]
    args += [f"--force-with-lease={ref}:{expected or ''}", "--", target, f"{commit}:{ref}"]
    extra = await credentials.variables(target)
    async with contextlib.AsyncExitStack() as stack:
        lock = await stack.enter_async_context(owned.locked()) if owned is not None else None
        done = await repository.try_git(args, lock=lock, extra=extra)
        if done.code != 0 and owned is not None and ".lock': File exists" in done.stderr:
            owned.remove_stale_locks()
            done = await repository.try_git(args, lock=lock, extra=extra)
    if done.code != 0:
        await _explain(repository, target, commit, ref, expected, done, credentials)


async def _explain(
    repository: Repository,
    target: str,
    commit: str,
    ref: str,
    expected: str | None,
    done: Completed,
    credentials: Credentials,
) -> None:
    """Looks at the target to tell a lost lease from a refusal; returns if the commit is there after all."""
    shown = redact(target)
    if not done.stdout.startswith(b"To "):
        error = cannot_read(target, done.stderr)
        raise PushError(shown, ref, error.cause, transient=error.transient)
    offers = await advertised(
        target, repository.home, repository.timeout_s, patterns=(ref,), credentials=credentials
    )
    actual = offers.get(ref)
    if actual == commit:
        return
    if actual != expected:
        raise LeaseLostError(shown, ref, expected, actual)
    verdicts = [line.decode(errors="replace") for line in done.stdout.splitlines() if line.startswith(b"!")]
    cause = redact("; ".join([*verdicts, *done.stderr.splitlines()[:4]]))
    raise PushError(shown, ref, cause, transient=_TRANSIENT.search(cause) is not None)
