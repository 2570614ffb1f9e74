"""Checks a commit out for work and turns the work into a commit.

Whatever runs in the sandbox may rewrite the worktree, its `.git` file included. So git is never pointed at
what lies there: the folder under the mirror that belongs to the worktree is named outright at every call.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog

from libs.git.error import GitCommandError, PatchError, UnsupportedRepositoryError, WorktreeError
from libs.git.process import Completed
from libs.git.repository import Repository

_log = structlog.get_logger(__name__)
_SUBMODULE = re.compile(rb"^(?:new file mode|new mode|index [0-9a-f]+\.\.[0-9a-f]+) 160000\s*$", re.MULTILINE)
_NESTED = "there are git repositories inside it"
_FAILED_AT = re.compile(r"^error: patch failed: (?P<path>.+):(?P<line>\d+)$", re.MULTILINE)
_FAILED_PATH = re.compile(
    r"^error: (?:invalid path '(?P<quoted>.+)'|affected file '(?P<beyond>.+)' is beyond a symbolic link"
    r"|(?P<plain>[^\n]+?): "
    r"(?:patch does not apply|No such file|already exists|does not exist|does not match))",
    re.MULTILINE,
)
_FAILED_LINE = re.compile(r"^error: corrupt patch at line (?P<line>\d+)$", re.MULTILINE)


class Worktree:
    """Is one checkout of a mirror; one caller uses it at a time."""

    def __init__(self, repository: Repository, path: Path, git_dir: Path) -> None:
        self.path = path
        self._repository = repository
        self._git_dir = git_dir

    async def head(self) -> str:
        """Returns the commit that the worktree stands on."""
        return (await self._git(["rev-parse", "--verify", "HEAD"])).text

    async def apply(self, patch: bytes) -> None:
        """Applies a patch to files and index, all of it or nothing.

        Raises PatchError in git's own words, also for patches that reach into `.git`, out of the tree or
        through a symlink, or that add a submodule.
        """
        if _SUBMODULE.search(patch):
            raise PatchError("it adds a submodule, which is not supported")
        done = await self._try_git(["apply", "--index", "--whitespace=nowarn", "-"], data=patch)
        if done.code != 0:
            raise _patch_error(done.stderr)

    async def commit(self, message: str, *, when: datetime) -> str | None:
        """Commits everything that differs in the folder, ignored files left out; None if nothing does.

        The same content, message and time give the same commit id.
        Raises UnsupportedRepositoryError if a git repository was made inside the folder.
        """
        if when.tzinfo is None:
            raise ValueError("a time zone is needed: commit times are absolute")
        staged = await self._stage()
        tree = (await self._git(["write-tree"], index=staged)).text
        staged.replace(self._git_dir / "index")
        parent = await self.head()
        if tree == (await self._git(["rev-parse", "--verify", f"{parent}^{{tree}}"])).text:
            return None
        date = f"{int(when.timestamp())} +0000"
        made = await self._repository.git(
            ["commit-tree", tree, "-p", parent],
            data=message.encode(),
            extra={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
        )
        async with self._repository.locked() as lock:
            await self._git(["update-ref", "HEAD", made.text, parent], lock=lock)
        return made.text

    async def _stage(self) -> Path:
        """Stages all changes in a copy of the index, which replaces the index only once it was found sound.

        Git would look for changes inside a nested repository by running git there, under that repository's
        own configuration; so no index with one may ever be left behind.
        """
        staged = self._git_dir / "index.staged"
        staged.with_name("index.staged.lock").unlink(missing_ok=True)
        await asyncio.to_thread(shutil.copyfile, self._git_dir / "index", staged)
        done = await self._try_git(["add", "--all", "--", "."], index=staged)
        if done.code != 0:
            if "does not have a commit checked out" in done.stderr:
                raise UnsupportedRepositoryError(str(self.path), f"{_NESTED}: {done.stderr.strip()}")
            raise GitCommandError("add", done.code, done.stderr)
        listing = await self._git(["ls-files", "-s", "-z"], index=staged)
        nested = [entry for entry in listing.stdout.split(b"\0") if entry.startswith(b"160000")]
        if nested:
            names = ", ".join(os.fsdecode(entry.split(b"\t", 1)[1]) for entry in nested[:5])
            raise UnsupportedRepositoryError(str(self.path), f"{_NESTED}: {names}")
        return staged

    async def _git(self, args: list[str], *, lock: int | None = None, index: Path | None = None) -> Completed:
        done = await self._try_git(args, lock=lock, index=index)
        if done.code != 0:
            self._repository.refuse(args, done)
        return done

    async def _try_git(
        self,
        args: list[str],
        *,
        data: bytes | None = None,
        lock: int | None = None,
        index: Path | None = None,
    ) -> Completed:
        extra = {"GIT_DIR": str(self._git_dir), "GIT_WORK_TREE": str(self.path)}
        if index is not None:
            extra["GIT_INDEX_FILE"] = str(index)
        return await self._repository.try_git(args, data=data, extra=extra, lock=lock, cwd=self.path)


async def add_worktree(repository: Repository, path: Path, commit: str, branch: str | None) -> Worktree:
    """Registers the worktree under the lock, then writes its files without it."""
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise WorktreeError(path, "the folder exists; remove the worktree first")
    path.parent.mkdir(parents=True, exist_ok=True)
    where = ["--detach"] if branch is None else ["-B", branch]
    async with repository.locked() as lock:
        await asyncio.to_thread(_prune, repository, path)
        done = await repository.try_git(
            ["worktree", "add", "--quiet", "--no-checkout", *where, "--", str(path), commit], lock=lock
        )
        if done.code != 0:
            raise WorktreeError(path, done.stderr.removeprefix("fatal: ").strip())
        made = find_worktree(repository, path)
    if made is None:
        raise WorktreeError(path, "git made it, but the mirror does not know it")
    done = await made._try_git(["read-tree", "--reset", "-u", "HEAD"])
    if done.code != 0:
        await remove_worktree(repository, path)
        raise WorktreeError(path, f"the files cannot be written: {done.stderr.strip()}")
    return made


def find_worktree(repository: Repository, path: Path) -> Worktree | None:
    """Returns the worktree that the mirror has registered at the path, or None."""
    for entry, place in _registered(repository):
        if place == path or place == path.resolve():
            return Worktree(repository, path, entry)
    return None


async def remove_worktree(repository: Repository, path: Path) -> None:
    """Removes the folder first, then its registration: after a crash in between, the registration is left."""
    known = find_worktree(repository, path)
    ours = repository.home.parent.parent
    if known is None and ours not in path.resolve().parents and os.path.lexists(path):
        raise WorktreeError(path, "it is not a worktree of this mirror, nor below the data directory")
    await asyncio.to_thread(_remove_tree, path)
    async with repository.locked():
        await asyncio.to_thread(_prune, repository, path)


def _registered(repository: Repository) -> list[tuple[Path, Path]]:
    found = []
    for entry in sorted((repository.path / "worktrees").glob("*")):
        with suppress(FileNotFoundError, NotADirectoryError):
            found.append((entry, Path((entry / "gitdir").read_text().removesuffix("\n")).parent))
    return found


def _prune(repository: Repository, path: Path) -> None:
    """Ends registrations of folders that are gone; only under the lock.

    `git worktree prune` would do so by the `.git` file, which the sandbox can remove from a living worktree.
    """
    for entry, place in _registered(repository):
        if not os.path.lexists(place):
            if place != path:
                _log.info("registration of a vanished worktree removed", path=str(place))
            shutil.rmtree(entry, ignore_errors=True)
    for entry in (repository.path / "worktrees").glob("*"):
        if not (entry / "gitdir").exists():  # of a git that was killed while it made or removed one
            shutil.rmtree(entry, ignore_errors=True)


def _remove_tree(path: Path) -> None:
    """Removes a tree, also where tests left folders without write permission; never follows symlinks."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        if path.exists():
            raise
    except PermissionError:
        for folder, folders, _ in os.walk(path):
            for place in (folder, *(os.path.join(folder, name) for name in folders)):
                if not os.path.islink(place):
                    os.chmod(place, stat.S_IRWXU)
        shutil.rmtree(path)


def _patch_error(stderr: str) -> PatchError:
    words = stderr.strip() or "git apply gave no reason"
    if found := _FAILED_AT.search(words):
        return PatchError(words, path=found["path"], line=int(found["line"]))
    if found := _FAILED_LINE.search(words):
        return PatchError(words, line=int(found["line"]))
    found = _FAILED_PATH.search(words)
    return PatchError(words, path=found[found.lastgroup or 0] if found else None)
