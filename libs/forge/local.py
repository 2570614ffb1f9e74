"""Keeps pull requests in a bare git repository of ours, readable by git alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import structlog

from libs.forge.error import (
    ForgeUnavailableError,
    PullRequestClosedError,
    UnknownPullRequestError,
)
from libs.forge.layout import PULL, Stored, open_ref, pull_number, pull_ref, read, utf8, write
from libs.forge.port import PullRequest
from libs.forge.refs import check_base, check_head, complete, read_all, refuse_second, transact
from libs.git.error import GitError
from libs.git.repository import Repository, empty_home
from libs.git.revision import is_branch_name
from libs.git.url import check, redact, repo_key

_log = structlog.get_logger(__name__)
_TRIES = 5


class LocalForge:
    """Is a forge below `<data-dir>/forge`; processes may share it.

    Changes are made under the repository's lock and in one git transaction, whose `create` of the open ref
    decides who opens. Git moves the refs of a transaction one by one, the open ref first: a crash in between
    leaves nothing, or a pull request that `find` returns and that the next change completes.
    """

    def __init__(self, data_dir: Path, *, timeout_s: float = 60) -> None:
        self.data_dir = data_dir.absolute()
        self.timeout_s = timeout_s
        self._home = empty_home(self.data_dir)

    async def remote(self, repo_url: str) -> str:
        """Returns the path of the bare repository, which is made if need be."""
        repository = self._repository(repo_url)
        if not repository.path.exists():
            async with _locked(repository) as lock:
                # Shallow: a clone of a shallow source is one too, and what it lacks nobody here has.
                settings = {"receive.shallowUpdate": "true"}
                await repository.create(lock, object_format=await self._format(repo_url), settings=settings)
        return str(repository.path)

    async def check_base(self, repo_url: str, base: str) -> None:
        """Raises nothing: any revision will do, as its commit is given when a pull request is opened."""

    async def branch_head(self, repo_url: str, branch: str) -> str | None:
        """Returns the commit a branch is at, or None."""
        repository = self._repository(repo_url)
        if not repository.path.exists() or not is_branch_name(branch):
            return None
        with _as_forge_errors():
            return await repository.object_id(f"refs/heads/{branch}")

    async def find(self, repo_url: str, head: str, base: str) -> PullRequest | None:
        """Returns the open pull request from head to base, or None."""
        repository = self._repository(repo_url)
        if not repository.path.exists():
            return None
        with _as_forge_errors():
            ref = open_ref(head, base)
            first = (await read(repository, [ref])).get(ref)
            if first is None:
                return None
            ref = pull_ref(first.pull_request.number, "meta")
            current = (await read(repository, [ref])).get(ref, first)
        return current.pull_request if current.pull_request.state == "open" else None

    async def get(self, repo_url: str, number: int) -> PullRequest:
        """Returns a pull request in any state; raises UnknownPullRequestError."""
        repository = self._repository(repo_url)
        if repository.path.exists():
            with _as_forge_errors():
                ref = pull_ref(number, "meta")
                if stored := (await read(repository, [ref])).get(ref):
                    return stored.pull_request
        raise UnknownPullRequestError(redact(repo_url), number)

    async def list(self, repo_url: str) -> tuple[PullRequest, ...]:
        """Returns all pull requests in any state, by number."""
        repository = self._repository(repo_url)
        if not repository.path.exists():
            return ()
        with _as_forge_errors():
            stored = await read_all(repository)
        return tuple(stored[number].pull_request for number in sorted(stored))

    async def open(
        self,
        repo_url: str,
        *,
        head: str,
        base: str,
        head_commit: str,
        title: str,
        body: str,
        draft: bool = False,
        evidence: tuple[str, ...] = (),
        base_commit: str | None = None,
    ) -> PullRequest:
        """Opens a pull request for a branch that was pushed before.

        Raises PullRequestExistsError, UnknownBaseError, HeadMovedError and ForgeUnavailableError.
        """
        await self.remote(repo_url)
        repository = self._repository(repo_url)
        async with _locked(repository) as lock:
            await complete(repository, lock)
            await refuse_second(repository, head, base)
            tree = await check_head(repository, head, head_commit)
            base_commit = await check_base(repository, base, base_commit, head_commit)
            cause = ""
            for _ in range(_TRIES):
                number = 1 + max((pull_number(ref) for ref in await repository.refs(PULL)), default=0)
                made = PullRequest(
                    number=number,
                    repo=redact(repo_url),
                    head=head,
                    base=base,
                    head_commit=head_commit,
                    base_commit=base_commit,
                    tree=tree,
                    title=" ".join(utf8(title).split()),
                    body=utf8(body),
                    state="open",
                    draft=draft,
                    url=f"{repository.path.as_uri()}#{pull_ref(number, 'head')}",
                    evidence=tuple(utf8(link) for link in evidence),
                )
                meta = await write(repository, made, None, "opened", lock)
                refused = await transact(
                    repository,
                    lock,
                    f"create {open_ref(head, base)} {meta}",
                    f"create {pull_ref(number, 'meta')} {meta}",
                    f"create {pull_ref(number, 'head')} {head_commit}",
                    f"create {pull_ref(number, 'base')} {base_commit}",
                    f"verify refs/heads/{head} {head_commit}",
                )
                if refused is None:
                    _log.info("pull request opened", repo=made.repo, number=number, head=head, base=base)
                    return made
                # Only somebody who works past our lock can have been faster; look again who and what.
                await refuse_second(repository, head, base)
                await check_head(repository, head, head_commit)
                cause = refused
        raise ForgeUnavailableError(cause, transient=True)

    async def update(
        self,
        repo_url: str,
        number: int,
        *,
        head_commit: str | None = None,
        base_commit: str | None = None,
        title: str | None = None,
        body: str | None = None,
        draft: bool | None = None,
        evidence: tuple[str, ...] | None = None,
    ) -> PullRequest:
        """Changes what is given of an open pull request; each change is one more meta commit.

        Raises UnknownPullRequestError, PullRequestClosedError, UnknownBaseError and HeadMovedError.
        """
        async with self._changing(repo_url, number) as (repository, lock, old):
            was = old.pull_request
            if was.state != "open":
                raise PullRequestClosedError(number, was.state)
            tree = was.tree
            if head_commit is not None:
                tree = await check_head(repository, was.head, head_commit)
            head_commit = head_commit or was.head_commit
            base_commit = await check_base(repository, was.base, base_commit or was.base_commit, head_commit)
            made = msgspec.structs.replace(
                was,
                head_commit=head_commit,
                base_commit=base_commit,
                tree=tree,
                title=was.title if title is None else " ".join(utf8(title).split()),
                body=was.body if body is None else utf8(body),
                draft=was.draft if draft is None else draft,
                evidence=was.evidence if evidence is None else tuple(utf8(link) for link in evidence),
            )
            if made == was:
                return was
            meta = await write(repository, made, old.meta, "updated", lock)
            cause = await transact(
                repository,
                lock,
                f"update {pull_ref(number, 'meta')} {meta} {old.meta}",
                f"update {pull_ref(number, 'head')} {head_commit}",
                f"update {pull_ref(number, 'base')} {base_commit}",
            )
            if cause is not None:
                raise ForgeUnavailableError(cause, transient=True)
        return made

    async def close(self, repo_url: str, number: int, *, merged: bool = False) -> PullRequest:
        """Ends a pull request; ending it again changes nothing. Raises UnknownPullRequestError."""
        async with self._changing(repo_url, number) as (repository, lock, old):
            if old.pull_request.state != "open":
                return old.pull_request
            made = msgspec.structs.replace(old.pull_request, state="merged" if merged else "closed")
            meta = await write(repository, made, old.meta, made.state, lock)
            cause = await transact(
                repository,
                lock,
                f"update {pull_ref(number, 'meta')} {meta} {old.meta}",
                f"delete {open_ref(made.head, made.base)}",
            )
            if cause is not None:
                raise ForgeUnavailableError(cause, transient=True)
        return made

    @asynccontextmanager
    async def _changing(self, repo_url: str, number: int) -> AsyncIterator[tuple[Repository, int, Stored]]:
        repository = self._repository(repo_url)
        if not repository.path.exists():
            raise UnknownPullRequestError(redact(repo_url), number)
        async with _locked(repository) as lock:
            await complete(repository, lock)
            ref = pull_ref(number, "meta")
            stored = (await read(repository, [ref])).get(ref)
            if stored is None:
                raise UnknownPullRequestError(redact(repo_url), number)
            yield repository, lock, stored

    def annotator(self, repo_url: str) -> None:
        """Returns None: title, body, evidence and state are all that is kept here."""

    async def _format(self, repo_url: str) -> str:
        mirror = self.data_dir / "mirrors" / f"{repo_key(repo_url)}.git"
        if not mirror.exists():
            return "sha1"
        repository = Repository(mirror, self._home, self.timeout_s)
        return (await repository.git(["rev-parse", "--show-object-format"])).text

    def _repository(self, repo_url: str) -> Repository:
        with _as_forge_errors():
            check(repo_url)
        path = self.data_dir / "forge" / f"{repo_key(repo_url)}.git"
        return Repository(path, self._home, self.timeout_s)


@contextmanager
def _as_forge_errors() -> Iterator[None]:
    try:
        yield
    except GitError as error:
        raise ForgeUnavailableError(str(error), transient=error.transient) from error


@asynccontextmanager
async def _locked(repository: Repository) -> AsyncIterator[int]:
    with _as_forge_errors():
        async with repository.locked() as lock:
            yield lock
