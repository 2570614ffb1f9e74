"""Moves the refs of pull requests together, checks what they would point to, and mends what a crash left."""

from __future__ import annotations

import structlog

from libs.forge.error import HeadMovedError, PullRequestExistsError, UnknownBaseError
from libs.forge.layout import OPEN, PULL, Stored, open_ref, pull_number, pull_ref, read
from libs.git.repository import Repository
from libs.git.revision import is_branch_name, is_object_id

_log = structlog.get_logger(__name__)


async def transact(repository: Repository, lock: int, *commands: str) -> str | None:
    """Carries out ref updates in one transaction, in their order; returns git's words if it refused all."""
    script = "\n".join(["start", *commands, "prepare", "commit", ""])
    done = await repository.try_git(["update-ref", "--no-deref", "--stdin"], data=script.encode(), lock=lock)
    return None if done.code == 0 else done.stderr.strip()


async def read_all(repository: Repository) -> dict[int, Stored]:
    """Returns number → pull request for all that have a meta commit."""
    metas = [ref for ref in await repository.refs(PULL) if ref.endswith("/meta")]
    return {pull_number(ref): stored for ref, stored in (await read(repository, metas)).items()}


async def complete(repository: Repository, lock: int) -> None:
    """Finishes what a process that died between two refs had begun; only under the lock.

    What a meta commit says holds: an open pull request gets all its refs, an ended one loses its open ref.
    """
    pulls = await repository.refs(PULL)
    opens = await repository.refs(OPEN)
    known = await read_all(repository)
    wanted: dict[str, str | None] = {}
    for ref, first in (await read(repository, opens)).items():
        number = first.pull_request.number
        now = known.setdefault(number, first)
        if now.pull_request.state != "open":
            wanted[ref] = None
    for number, stored in known.items():
        pull_request = stored.pull_request
        if pull_request.state == "open":
            ref = open_ref(pull_request.head, pull_request.base)
            wanted.setdefault(ref, opens.get(ref, stored.meta))
            wanted[pull_ref(number, "meta")] = stored.meta
            wanted[pull_ref(number, "head")] = pull_request.head_commit
            wanted[pull_ref(number, "base")] = pull_request.base_commit
    found = opens | pulls
    changes = [
        f"update {ref} {commit}" if commit else f"delete {ref}"
        for ref, commit in wanted.items()
        if found.get(ref) != commit
    ]
    if changes:
        refused = await transact(repository, lock, *changes)
        _log.warning("pull request refs completed after a crash", changes=changes, refused=refused)


async def refuse_second(repository: Repository, head: str, base: str) -> None:
    """Raises PullRequestExistsError if one is open for the head and base."""
    ref = open_ref(head, base)
    if stored := (await read(repository, [ref])).get(ref):
        raise PullRequestExistsError(stored.pull_request.number, head, base)


async def check_head(repository: Repository, head: str, commit: str) -> str:
    """Returns the commit's tree; raises HeadMovedError unless the branch is at the commit."""
    actual = await repository.object_id(f"refs/heads/{head}") if is_branch_name(head) else None
    tree = await repository.object_id(f"{actual}^{{tree}}") if actual else None
    if actual is None or tree is None or actual != commit:
        raise HeadMovedError(head, commit, actual)
    return tree


async def check_base(repository: Repository, base: str, commit: str | None, head_commit: str) -> str:
    """Returns the base commit: the one given, or the forge's branch of that name.

    Raises UnknownBaseError, also if the head was not built on the commit that was given.
    """
    if commit is None:
        found = await repository.object_id(f"refs/heads/{base}") if is_branch_name(base) else None
        if found is None:
            raise UnknownBaseError(base, "the forge has no branch of this name; give its commit")
        return found
    if not is_object_id(commit) or await repository.object_id(f"{commit}^{{commit}}") is None:
        raise UnknownBaseError(base, f"the forge does not have its commit {commit}")
    done = await repository.try_git(["merge-base", "--is-ancestor", commit, head_commit])
    if done.code != 0:
        raise UnknownBaseError(base, f"its commit {commit} is not in the history of {head_commit}")
    return commit
