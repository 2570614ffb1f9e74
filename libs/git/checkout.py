"""Puts commits into folders of this machine, and takes the folders away again.

A worktree is a folder and a registration in the mirror. A crash may leave either without the other; removing
looks at each by itself. Its lock (`Repository.placed`) keeps a second caller, and what a killed one left, apart.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import structlog

from libs.git.error import GitError, WorktreeError
from libs.git.repository import Repository
from libs.git.worktree import Worktree

_log = structlog.get_logger(__name__)
#: How often, and after how many seconds each, the removal of a folder is tried again.
_TRIES, _PAUSE_S = 40, 0.05


async def export(repository: Repository, commit: str, path: Path) -> None:
    """Writes the commit's tree into a new folder; leaves nothing behind if it fails."""
    _check_vacant(path)
    async with repository.placed(path) as place:
        path.mkdir(parents=True, exist_ok=True)
        # The index lies beside the lock: a killed export leaves at most one per lock, overwritten by the next.
        index = repository.placed_lock(path).with_suffix(".index")
        index.with_suffix(".index.lock").unlink(missing_ok=True)
        index.unlink(missing_ok=True)
        try:
            await repository.git(
                ["read-tree", "--reset", "-u", commit],
                cwd=path,
                extra={"GIT_WORK_TREE": str(path), "GIT_INDEX_FILE": str(index)},
                place=place,
            )
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        finally:
            index.unlink(missing_ok=True)


async def add_worktree(repository: Repository, path: Path, commit: str, branch: str | None) -> Worktree:
    """Registers the worktree under the repository's lock, then writes its files without it."""
    _check_vacant(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    where = ["--detach"] if branch is None else ["-B", branch]
    args = ["worktree", "add", "--quiet", "--no-checkout", *where, "--", str(path), commit]
    async with repository.placed(path) as place:
        async with repository.locked() as lock:
            _prune(repository)
            done = await repository.try_git(args, lock=lock, place=place)
            if done.code != 0:
                raise WorktreeError(path, done.stderr.removeprefix("fatal: ").strip())
            made = find_worktree(repository, path)
        if made is None:
            raise WorktreeError(path, "git made it, but the mirror does not know it")
        try:
            await made.populate(place)
        except GitError:
            await _remove(repository, path)
            raise
    return made


def find_worktree(repository: Repository, path: Path) -> Worktree | None:
    """Returns the worktree that the mirror has registered at the path, or None."""
    for entry, place in _registered(repository):
        if place in (path, path.resolve()):
            return Worktree(repository, path, entry)
    return None


async def remove(repository: Repository, path: Path) -> None:
    """Removes a worktree, an export or a folder of several, whichever parts of it are left.

    Raises WorktreeError for a folder that is neither registered nor below `work/` or `cache/` of the data
    directory: a wrong path must not take a user's checkout, the mirrors or the evidence along.
    """
    data_dir = repository.home.parent.parent.resolve()
    ours = {data_dir / "work", data_dir / "cache"} & set(path.resolve().parents)
    if not ours and find_worktree(repository, path) is None and os.path.lexists(path):
        raise WorktreeError(
            path, "it is not a worktree of this mirror, nor in a folder for work; nothing removed"
        )
    # The folder of a whole task may be given: then whoever still writes in a worktree inside is waited for.
    inside = [place for _, place in _registered(repository) if path in place.parents]
    async with AsyncExitStack() as stack:
        # In one order, so that two removals cannot wait for each other.
        for _, place in sorted({repository.placed_lock(place): place for place in [path, *inside]}.items()):
            await stack.enter_async_context(repository.placed(place))
        await _remove(repository, path)


async def _remove(repository: Repository, path: Path) -> None:
    """Renames the folder away under the lock, where nothing slow may happen, and deletes it after."""
    removed = path.with_name(f".{path.name}.removed")
    await asyncio.to_thread(_remove_tree, removed)
    async with repository.locked():
        with suppress(FileNotFoundError, NotADirectoryError):
            path.rename(removed)
        _prune(repository)
    await asyncio.to_thread(_remove_tree, removed)


def _check_vacant(path: Path) -> None:
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise WorktreeError(path, "something is there already; remove it first")


def _registered(repository: Repository) -> list[tuple[Path, Path]]:
    found = []
    for entry in sorted((repository.path / "worktrees").glob("*")):
        with suppress(FileNotFoundError, NotADirectoryError):
            found.append((entry, Path((entry / "gitdir").read_text().removesuffix("\n")).parent))
    return found


def _prune(repository: Repository) -> None:
    """Ends registrations of folders that are gone; only under the repository's lock.

    `git worktree prune` would do so by the `.git` file, which the sandbox can remove from a living worktree.
    """
    for entry, place in _registered(repository):
        if not os.path.lexists(place):
            _log.debug("registration of a worktree ended", path=str(place))
            shutil.rmtree(entry, ignore_errors=True)
    for entry in (repository.path / "worktrees").glob("*"):
        if not (entry / "gitdir").exists():  # of a git that was killed while it made or removed one
            shutil.rmtree(entry, ignore_errors=True)


def _remove_tree(path: Path) -> None:
    """Removes a tree, also where tests left folders without write permission; never follows symlinks."""
    for _ in range(_TRIES):
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
            return
        except PermissionError:
            for folder, folders, _files in os.walk(path):
                for place in (folder, *(os.path.join(folder, name) for name in folders)):
                    if not os.path.islink(place):
                        os.chmod(place, stat.S_IRWXU)
        except OSError as error:
            # A program that is being ended still writes or removes there.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise WorktreeError(path, f"it cannot be removed: {error}") from error
            time.sleep(_PAUSE_S)
    raise WorktreeError(path, "it cannot be removed: something keeps writing there, or forbids it")
