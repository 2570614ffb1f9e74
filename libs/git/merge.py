"""Merges commits in the object store only: no checkout, no branch, no driver of a repository."""

from __future__ import annotations

from collections.abc import Sequence

from libs.git.error import GitCommandError, MergeConflictError
from libs.git.repository import Repository


async def merge_all(repository: Repository, commits: Sequence[str]) -> str:
    """Returns a commit that contains all the given ones, taken one after the other in their order.

    A commit that another contains adds nothing. Dates are those of the newest parent: the same input gives
    the same id.
    Raises MergeConflictError, ValueError for no commits, and GitCommandError with a git before 2.38.
    """
    if not commits:
        raise ValueError("there is nothing to merge")
    merged = commits[0]
    for commit in commits[1:]:
        if await _contains(repository, merged, commit):
            continue
        if await _contains(repository, commit, merged):
            merged = commit
        else:
            merged = await _merge(repository, merged, commit)
    return merged


async def _contains(repository: Repository, commit: str, ancestor: str) -> bool:
    return (await repository.try_git(["merge-base", "--is-ancestor", ancestor, commit])).code == 0


async def _merge(repository: Repository, ours: str, theirs: str) -> str:
    args = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs]
    done = await repository.try_git(args)
    if done.code == 1:
        paths = done.stdout.split(b"\0")[1:]
        named = {path.decode(errors="surrogateescape") for path in paths if path}
        raise MergeConflictError(ours, theirs, tuple(sorted(named)))
    if done.code != 0:
        if "unrelated histories" in done.stderr:
            raise MergeConflictError(ours, theirs, ())
        if "usage:" in done.stderr:
            raise GitCommandError("merge-tree", done.code, "git 2.38 or newer is needed to merge commits")
        repository.refuse(args, done)
    tree = done.stdout.split(b"\0", 1)[0].decode()
    dates = await repository.git(["log", "--no-walk", "--format=%ct", ours, theirs])
    date = f"{max(int(line) for line in dates.text.split())} +0000"
    made = await repository.git(
        ["commit-tree", tree, "-p", ours, "-p", theirs],
        data=f"Merge {theirs} into {ours}\n".encode(),
        extra={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )
    return made.text
