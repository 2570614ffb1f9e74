"""Gives every repository that a task names a private clone (a mirror), and keeps it current."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from libs.git.credentials import Credentials, NoCredentials
from libs.git.error import UnsupportedRepositoryError
from libs.git.mirror import Mirror
from libs.git.repository import Repository, empty_home
from libs.git.source import advertised, cannot_read, default_branch, reading
from libs.git.url import check, local_path, redact, repo_key

_log = structlog.get_logger(__name__)
_WANTED = ("HEAD", "refs/heads/*", "refs/tags/*")


class Broker:
    """Makes and finds mirrors below `<data-dir>/mirrors`; processes may share the directory."""

    def __init__(
        self, data_dir: Path, *, timeout_s: float = 120, credentials: Credentials | None = None
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.timeout_s = timeout_s
        self._home = empty_home(self.data_dir)
        self._credentials: Credentials = credentials or NoCredentials()

    @staticmethod
    def repo_key(url: str) -> str:
        """Returns the readable, distinct name under which the repository is kept."""
        return repo_key(url)

    async def mirror(self, url: str) -> Mirror:
        """Returns the mirror of the source, made or brought up to date; the source is only read.

        Objects are copied, never linked. Nothing is made if the source cannot be read.
        Raises CloneError, UnsupportedRepositoryError (an empty repository, a refused address) and
        GitTimeoutError. After any of them, or a crash, calling again is safe.
        """
        check(url)
        offers = await self._advertised(url, _WANTED)
        if not offers:
            raise UnsupportedRepositoryError(redact(url), "it is empty; make a first commit")
        wanted = {_kept_as(name): object_id for name, object_id in offers.items()}
        mirror = self.existing(url)
        if mirror is None or await mirror.repository.refs("refs/source") != wanted:
            mirror = await self._fetch(url, wanted)
        return mirror

    def existing(self, url: str) -> Mirror | None:
        """Returns the mirror as it is on disk, without asking the source; None if there is none yet."""
        repository = self._repository(url)
        return self._as_mirror(repository, url) if repository.path.exists() else None

    async def default_branch(self, url: str) -> str | None:
        """Returns the branch that `HEAD` is at the source, None if it is none. Raises CloneError and GitTimeoutError."""
        check(url)
        return await default_branch(url, self._home, self.timeout_s, credentials=self._credentials)

    async def remote_ref(self, url: str, ref: str) -> str | None:
        """Returns where a full ref name (`refs/heads/...`) of a remote repository points, or None.

        This is how the unknown outcome of a push that timed out is looked up.
        """
        check(url)
        return (await self._advertised(url, (ref,))).get(ref)

    async def _advertised(self, url: str, patterns: tuple[str, ...]) -> Mapping[str, str]:
        return await advertised(
            url, self._home, self.timeout_s, patterns=patterns, credentials=self._credentials
        )

    async def _fetch(self, url: str, wanted: Mapping[str, str]) -> Mirror:
        repository = self._repository(url)
        async with repository.locked() as lock:
            length = len(next(iter(wanted.values())))
            made = await repository.create(lock, object_format="sha256" if length == 64 else "sha1")
            if made or await repository.refs("refs/source") != wanted:
                await self._fetch_into(repository, url, wanted, lock)
                if made:
                    await repository.git(["pack-refs", "--all"], lock=lock)
                _log.info("mirror fetched", url=redact(url), path=str(repository.path), made=made)
        return self._as_mirror(repository, url)

    async def _fetch_into(
        self, repository: Repository, url: str, wanted: Mapping[str, str], lock: int
    ) -> None:
        head = ["+HEAD:refs/source/HEAD"] if "refs/source/HEAD" in wanted else []
        for unfinished in (repository.path / "objects" / "pack").glob("tmp_*"):
            unfinished.unlink(missing_ok=True)  # of a fetch that was killed; we hold the lock
        done = await repository.try_git(
            [
                *("fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head"),
                *("--update-shallow", "--no-recurse-submodules", "--no-auto-maintenance"),
                *reading(url),
                *("--", url, "+refs/heads/*:refs/source/heads/*", "+refs/tags/*:refs/source/tags/*", *head),
            ],
            lock=lock,
            extra=await self._credentials.variables(url),
        )
        if done.code != 0:
            raise cannot_read(url, done.stderr)
        if not head:
            await repository.git(["update-ref", "-d", "refs/source/HEAD"], lock=lock)

    def _repository(self, url: str) -> Repository:
        path = self.data_dir / "mirrors" / f"{repo_key(url)}.git"
        return Repository(path, self._home, self.timeout_s)

    def _as_mirror(self, repository: Repository, url: str) -> Mirror:
        return Mirror(repository, url, owned=lambda target: self._owns(target), credentials=self._credentials)

    def _owns(self, target: str) -> Repository | None:
        path = local_path(target)
        if path is None or path.suffix != ".git" or self.data_dir not in path.parents:
            return None
        return Repository(path, self._home, self.timeout_s)


def _kept_as(source_ref: str) -> str:
    """Maps a ref of the source to ours: apart from the branches that tasks make in the mirror."""
    return "refs/source/" + source_ref.removeprefix("refs/")
