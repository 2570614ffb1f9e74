"""Checks a commit out for work and turns the work into a commit.

Whatever runs in the sandbox may rewrite the worktree, its `.git` file included. So git is never pointed at
what lies there: the folder under the mirror that belongs to the worktree is named outright at every call.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from libs.git.error import GitCommandError, PatchError, UnsupportedRepositoryError, WorktreeError
from libs.git.process import Completed
from libs.git.repository import Repository

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
        async with self._repository.placed(self.path) as place:
            args = ["apply", "--index", "--whitespace=nowarn", "-"]
            done = await self._try_git(args, data=patch, place=place)
        if done.code != 0:
            raise _patch_error(done.stderr)

    async def commit(self, message: str, *, when: datetime) -> str | None:
        """Commits everything that differs in the folder, ignored files left out; None if nothing does.

        The same content, message and time give the same commit id.
        Raises UnsupportedRepositoryError if a git repository was made inside the folder.
        """
        if when.tzinfo is None:
            raise ValueError("a time zone is needed: commit times are absolute")
        async with self._repository.placed(self.path) as place:
            staged = await self._stage(place)
            tree = (await self._git(["write-tree"], index=staged, place=place)).text
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
                await self._git(["update-ref", "HEAD", made.text, parent], lock=lock, place=place)
            return made.text

    async def _stage(self, place: int) -> Path:
        """Stages all changes in a copy of the index, which replaces the index only once it was found sound.

        Git would look for changes inside a nested repository by running git there, under that repository's
        own configuration; so no index with one may ever be left behind.
        """
        staged = self._git_dir / "index.staged"
        staged.with_name("index.staged.lock").unlink(missing_ok=True)
        # With its times: an entry as young as the index is one that git compares by content.
        await asyncio.to_thread(shutil.copy2, self._git_dir / "index", staged)
        done = await self._try_git(["add", "--all", "--", "."], index=staged, place=place)
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

    async def populate(self, place: int) -> None:
        """Writes the files of the commit into the new, empty folder; raises WorktreeError."""
        done = await self._try_git(["read-tree", "--reset", "-u", "HEAD"], place=place)
        if done.code != 0:
            raise WorktreeError(self.path, f"the files cannot be written: {done.stderr.strip()}")

    async def _git(
        self,
        args: list[str],
        *,
        index: Path | None = None,
        lock: int | None = None,
        place: int | None = None,
    ) -> Completed:
        done = await self._try_git(args, index=index, lock=lock, place=place)
        if done.code != 0:
            self._repository.refuse(args, done)
        return done

    async def _try_git(
        self,
        args: list[str],
        *,
        data: bytes | None = None,
        index: Path | None = None,
        lock: int | None = None,
        place: int | None = None,
    ) -> Completed:
        extra = {"GIT_DIR": str(self._git_dir), "GIT_WORK_TREE": str(self.path)}
        if index is not None:
            extra["GIT_INDEX_FILE"] = str(index)
        return await self._repository.try_git(
            args, data=data, extra=extra, lock=lock, place=place, cwd=self.path
        )


def _patch_error(stderr: str) -> PatchError:
    words = stderr.strip() or "git apply gave no reason"
    if found := _FAILED_AT.search(words):
        return PatchError(words, path=found["path"], line=int(found["line"]))
    if found := _FAILED_LINE.search(words):
        return PatchError(words, line=int(found["line"]))
    found = _FAILED_PATH.search(words)
    return PatchError(words, path=found[found.lastgroup or 0] if found else None)
