"""Holds one bare repository of ours: made whole or not at all, changed by one process at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import structlog

from libs.git.environment import ATTRIBUTES, hardened
from libs.git.error import GitCommandError
from libs.git.lock import exclusive
from libs.git.process import OUTPUT_LIMIT, Completed, run
from libs.git.url import redact

_log = structlog.get_logger(__name__)
_STALE = re.compile(r"\.lock': File exists")


def empty_home(data_dir: Path) -> Path:
    """Returns the empty folder that git takes for the user's home, making it if need be."""
    home = data_dir.absolute() / "mirrors" / ".home"
    home.mkdir(parents=True, exist_ok=True)
    return home


class Repository:
    """Runs git on one bare repository below the data directory.

    The lock file lies beside the repository (`<key>.lock`), so that it also guards its creation.
    """

    def __init__(self, path: Path, home: Path, timeout_s: float) -> None:
        self.path = path
        self.home = home
        self.timeout_s = timeout_s
        self._lock = path.with_suffix(".lock")
        self._environment = hardened(home) | {"GIT_DIR": str(path)}

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[int]:
        """Holds the repository's lock across processes; pass what it yields to `git` as `lock`."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        async with exclusive(self._lock, self.timeout_s) as descriptor:
            yield descriptor

    @asynccontextmanager
    async def placed(self, path: Path) -> AsyncIterator[int]:
        """Holds the lock of one checkout's folder; pass what it yields to `git` as `place`.

        A git that outlived its caller may still be writing there: whoever removes the folder waits for it.
        Take it before `locked`, never after. Folders share 256 locks, so that lock files need no clearing up.
        """
        file = self.placed_lock(path)
        file.parent.mkdir(exist_ok=True)
        async with exclusive(file, self.timeout_s) as descriptor:
            yield descriptor

    def placed_lock(self, path: Path) -> Path:
        """Returns the file that `placed` locks for the folder."""
        return self.path / "places" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:2]}.place"

    async def create(
        self, lock: int, *, object_format: str = "sha1", settings: Mapping[str, str] | None = None
    ) -> bool:
        """Makes the empty repository unless it exists, in one rename; returns whether it was made now."""
        if self.path.exists():
            return False
        draft = self.path.with_suffix(".draft")
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        await self.git(
            ["init", "--bare", "--quiet", "--template=", f"--object-format={object_format}", str(draft)],
            lock=lock,
            extra={"GIT_DIR": str(draft)},
        )
        for key, value in (settings or {}).items():
            await self.git(["config", key, value], lock=lock, extra={"GIT_DIR": str(draft)})
        (draft / "info").mkdir(exist_ok=True)
        (draft / "info" / "attributes").write_text(ATTRIBUTES)
        draft.rename(self.path)
        return True

    async def try_git(
        self,
        args: Sequence[str],
        *,
        data: bytes | None = None,
        extra: Mapping[str, str] | None = None,
        lock: int | None = None,
        place: int | None = None,
        cwd: Path | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> Completed:
        """Runs git on the repository and returns the outcome whatever its exit code.

        Under the lock, a failure caused by lock files of a git that was killed is mended and tried once more.
        """
        for last in (False, True):
            done = await run(
                args,
                cwd=cwd or self.home,
                environment={**self._environment, **(extra or {})},
                timeout_s=self.timeout_s,
                data=data,
                output_limit=output_limit,
                inherit=tuple(held for held in (lock, place) if held is not None),
            )
            if done.code == 0 or lock is None or last or not _STALE.search(done.stderr):
                break
            await asyncio.to_thread(self.remove_stale_locks)
        return done

    async def git(
        self,
        args: Sequence[str],
        *,
        data: bytes | None = None,
        extra: Mapping[str, str] | None = None,
        lock: int | None = None,
        place: int | None = None,
        cwd: Path | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> Completed:
        """Runs git on the repository; raises GitCommandError if it fails."""
        done = await self.try_git(
            args, data=data, extra=extra, lock=lock, place=place, cwd=cwd, output_limit=output_limit
        )
        if done.code != 0:
            self.refuse(args, done)
        return done

    def refuse(self, args: Sequence[str], done: Completed) -> NoReturn:
        """Raises GitCommandError for an outcome."""
        raise GitCommandError(args[0], done.code, redact(done.stderr))

    async def object_id(self, name: str) -> str | None:
        """Returns the id of the object that the name stands for, or None."""
        done = await self.try_git(["rev-parse", "--verify", "--quiet", "--end-of-options", name])
        return done.text if done.code == 0 else None

    async def refs(self, *prefixes: str) -> dict[str, str]:
        """Returns ref name → object id (of a tag: the tag object) for all refs below the prefixes."""
        done = await self.git(["for-each-ref", "--format=%(objectname) %(refname)", *prefixes])
        pairs = (line.split(" ", 1) for line in done.text.split("\n") if line)
        return {name: object_id for object_id, name in pairs}

    def remove_stale_locks(self) -> None:
        """Removes git's own lock files; only for the holder of the lock: nobody else writes refs then."""
        names = ("packed-refs.lock", "config.lock", "HEAD.lock", "shallow.lock")
        stale = [self.path / name for name in names]
        for folder, _, files in os.walk(self.path / "refs"):
            stale += [Path(folder, name) for name in files if name.endswith(".lock")]
        for path in stale:
            if path.exists():
                _log.warning("git lock file of a dead process removed", path=str(path))
                path.unlink(missing_ok=True)
