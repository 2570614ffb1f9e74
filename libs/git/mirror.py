"""Reads, compares, checks out, merges and pushes commits of one private clone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from libs.git.bundle import write_bundle
from libs.git.checkout import add_worktree, export, find_worktree, remove
from libs.git.credentials import Credentials
from libs.git.error import OversizeError, UnknownRevisionError, UnsupportedRepositoryError, WorktreeError
from libs.git.folder import commit_files
from libs.git.merge import merge_all
from libs.git.process import OUTPUT_LIMIT, Completed
from libs.git.push import push
from libs.git.repository import Repository
from libs.git.revision import check_object_id, is_abbreviation, is_branch_name, is_object_id
from libs.git.source import cannot_read, reading
from libs.git.tree import Change, TreeEntry, parse_changes, parse_tree
from libs.git.url import check, redact
from libs.git.worktree import Worktree

#: Spelled out, so that the same two commits give the same bytes whatever git's defaults become.
_CANONICAL = (
    *("--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color"),
    *("--diff-algorithm=myers", "--indent-heuristic", "-U3", "--src-prefix=a/", "--dst-prefix=b/"),
)


class Mirror:
    """Is the private clone of one source; `Broker.mirror` makes it.

    Branches and tags of the source live under `refs/source/`, so `refs/heads/` is free for the branches of
    tasks. Objects are never collected: a commit that was resolved once stays readable.
    Methods take full commit ids (see `resolve`) and raise UnknownRevisionError for one that is not here.
    """

    def __init__(
        self,
        repository: Repository,
        url: str,
        *,
        owned: Callable[[str], Repository | None],
        credentials: Credentials,
    ) -> None:
        self.repository = repository
        self.path = repository.path
        self.url = url
        self._owned = owned
        self._credentials = credentials
        self._name = redact(url)
        self._without_submodules: set[str] = set()

    async def resolve(self, revision: str) -> str:
        """Returns the full commit id of a branch, a tag, HEAD or a commit of the source, in this order.

        A full commit id that no branch holds is asked of the source. Expressions (`a..b`, `a~1`, `a@{1}`) are
        refused. Raises UnknownRevisionError.
        """
        if is_object_id(revision):
            return await self._commit(revision) or await self._fetch_object(revision)
        if not is_branch_name(revision) and revision != "HEAD":
            raise UnknownRevisionError(revision, self._name, "not a name that git allows")
        if revision.startswith(("refs/heads/", "refs/tags/")):
            candidates = ["refs/source/" + revision.removeprefix("refs/")]
        elif revision == "HEAD":
            candidates = ["refs/source/HEAD"]
        else:
            candidates = [f"refs/source/heads/{revision}", f"refs/source/tags/{revision}"]
            candidates += [revision] if is_abbreviation(revision) else []
        for candidate in candidates:
            if found := await self._commit(candidate):
                return found
        raise UnknownRevisionError(revision, self._name)

    async def has_branch(self, name: str) -> bool:
        """Tells whether the source has a branch of this name."""
        return is_branch_name(name) and await self._commit(f"refs/source/heads/{name}") is not None

    async def tree(self, commit: str) -> str:
        """Returns the id of the commit's tree."""
        return (await self._about(["rev-parse", "--verify", f"{commit}^{{tree}}"], commit)).text

    async def files(self, commit: str) -> list[TreeEntry]:
        """Returns every entry of the commit's tree, folders left out, in git's order."""
        done = await self._about(["ls-tree", "-r", "-z", "-l", "--full-tree", commit], commit)
        return parse_tree(done.stdout)

    async def blob(self, commit: str, path: str, *, limit: int = 16 * 1024 * 1024) -> bytes | None:
        """Returns the content of a file, the text of a symlink (never followed), or None if there is neither.

        Raises OversizeError above `limit` bytes, before anything is read.
        """
        if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            return None
        listing = await self._about(["ls-tree", "-z", "-l", "--full-tree", commit, "--", path], commit)
        if b" tree " in listing.stdout.split(b"\t", 1)[0]:
            return None
        entry = next((entry for entry in parse_tree(listing.stdout) if entry.path == path), None)
        if entry is None or entry.size is None:
            return None
        if entry.size > limit:
            raise OversizeError(path, limit, entry.size)
        return (await self.repository.git(["cat-file", "blob", entry.blob], output_limit=limit)).stdout

    async def diff(self, base: str, commit: str, *, limit: int = OUTPUT_LIMIT) -> bytes:
        """Returns the canonical patch from base to commit; the same commits give the same bytes.

        Raises OversizeError above `limit` bytes.
        """
        done = await self._about(
            ["diff-tree", "-r", "-p", *_CANONICAL, base, commit], base, commit, output_limit=limit
        )
        return done.stdout

    async def changes(self, base: str, commit: str) -> list[Change]:
        """Returns every path that differs, judged by content: no attribute of the tree can hide a line."""
        args = ["diff-tree", "-r", "-z", "--raw", "--numstat", "--no-abbrev", "--no-renames"]
        done = await self._about(
            [*args, "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", base, commit], base, commit
        )
        return parse_changes(done.stdout)

    async def contains(self, commit: str, ancestor: str) -> bool:
        """Tells whether `ancestor` is the commit itself or in its history."""
        known = (check_object_id(ancestor, self._name), check_object_id(commit, self._name))
        return (await self.repository.try_git(["merge-base", "--is-ancestor", *known])).code == 0

    async def check(self, commit: str) -> None:
        """Raises UnsupportedRepositoryError if the commit cannot be worked on: it has submodules."""
        if commit in self._without_submodules:
            return
        done = await self._about(["ls-tree", "-r", "-z", "--full-tree", commit], commit)
        entries = [entry.split(b"\t", 1) for entry in done.stdout.split(b"\0") if entry]
        found = [path.decode(errors="replace") for facts, path in entries if facts.startswith(b"160000")]
        if found:
            reason = (
                f"it has submodules ({', '.join(found[:5])}), which are not supported; vendor or remove them"
            )
            raise UnsupportedRepositoryError(self._name, reason)
        self._without_submodules.add(commit)

    async def export(self, commit: str, path: Path) -> None:
        """Writes exactly the commit's tree to a new folder, without any `.git`.

        Symlinks stay symlinks. `git archive` is not used: attributes in the tree can make it leave files out.
        Raises UnsupportedRepositoryError and WorktreeError (the folder is not empty); leaves nothing behind.
        """
        await self.check(commit)
        await export(self.repository, commit, path.absolute())

    async def add_worktree(self, path: Path, commit: str, *, branch: str | None = None) -> Worktree:
        """Checks the commit out at a new folder, detached or on `branch` (which is moved there).

        The folder gets a `.git` file that names the mirror; the product itself never trusts that file again.
        Raises UnsupportedRepositoryError and WorktreeError. After a crash, remove it and add it again.
        """
        await self.check(commit)
        if branch is not None and not is_branch_name(branch):
            raise WorktreeError(path, f"{branch!r} is not a branch name that git allows")
        return await add_worktree(self.repository, path.absolute(), commit, branch)

    def worktree(self, path: Path) -> Worktree | None:
        """Returns the worktree at the path as another process made it, or None."""
        return find_worktree(self.repository, path.absolute())

    async def remove_worktree(self, path: Path) -> None:
        """Removes a worktree, an export or a folder of several; twice, or after half of it, is fine.

        It waits for a git that outlived a killed caller and is still writing there.
        Raises WorktreeError for a folder that is neither a worktree nor in `work/` or `cache/`.
        """
        await remove(self.repository, path.absolute())

    async def merge(self, commits: Sequence[str]) -> str:
        """Returns one commit that contains all of them, made in the object store; same input, same id.

        Raises MergeConflictError naming the paths.
        """
        for commit in commits:
            await self._about(["cat-file", "-e", f"{commit}^{{commit}}"], commit)
        return await merge_all(self.repository, commits)

    async def fetch_commit(self, url: str, ref: str) -> str:
        """Brings the commit at a full ref name of another repository here and returns its id.

        Raises CloneError, UnsupportedRepositoryError, and UnknownRevisionError if there is no such ref.
        """
        check(url)
        if not ref.startswith("refs/") or not is_branch_name(ref):
            raise UnknownRevisionError(ref, redact(url), "a full ref name (refs/...) is needed here")
        kept = f"refs/fetched/{hashlib.sha256(f'{url} {ref}'.encode()).hexdigest()[:32]}"
        async with self.repository.locked() as lock:
            await self._fetch(url, f"+{ref}:{kept}", lock, ref)
            found = await self._commit(kept)
        if found is None:
            raise UnknownRevisionError(ref, redact(url), "it is not a commit")
        return found

    async def bundle(self, commit: str, path: Path) -> None:
        """Writes a file from which `git clone FILE` gives exactly the commit's tree, without its history."""
        await self._about(["cat-file", "-e", f"{commit}^{{commit}}"], commit)
        await write_bundle(self.repository, commit, path.absolute())

    async def commit_files(
        self, folder: Path, files: Sequence[str], message: str, *, parents: Sequence[str], when: datetime
    ) -> str:
        """Returns a commit whose whole tree is these files of a folder; the same input gives the same id.

        No ref is moved: the commit is reached by its id. Raises GitCommandError if a parent is not here.
        """
        return await commit_files(
            self.repository, folder.absolute(), files, message, parents=parents, when=when
        )

    async def push(self, target: str, commit: str, ref: str, *, expected: str | None) -> None:
        """Moves a full ref name of the target from `expected` (None: it does not exist) to the commit.

        Doing it again is fine. Raises LeaseLostError if somebody else moved it, PushError, and
        GitTimeoutError: then the outcome is unknown, and `Broker.remote_ref` tells it.
        """
        await self._about(["cat-file", "-e", f"{commit}^{{commit}}"], commit)
        await push(
            self.repository,
            target,
            commit,
            ref,
            expected=expected,
            owned=self._owned(target),
            credentials=self._credentials,
        )

    async def _commit(self, name: str) -> str | None:
        return await self.repository.object_id(f"{name}^{{commit}}")

    async def _fetch_object(self, object_id: str) -> str:
        async with self.repository.locked() as lock:
            await self._fetch(self.url, f"+{object_id}:refs/fetched/{object_id}", lock, object_id)
            found = await self._commit(object_id)
        if found is None:
            raise UnknownRevisionError(object_id, self._name, "it is not a commit")
        return found

    async def _fetch(self, url: str, refspec: str, lock: int, wanted: str) -> None:
        args = ["fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--update-shallow"]
        args += ["--no-recurse-submodules", "--no-auto-maintenance", *reading(url), "--", url, refspec]
        extra = await self._credentials.variables(url)
        done = await self.repository.try_git(args, lock=lock, extra=extra)
        if done.code == 0:
            return
        if "find remote ref" in done.stderr or "not our ref" in done.stderr or "unadvertised" in done.stderr:
            raise UnknownRevisionError(wanted, redact(url))
        raise cannot_read(url, done.stderr)

    async def _about(self, args: list[str], *commits: str, output_limit: int = OUTPUT_LIMIT) -> Completed:
        """Runs git on commits; tells one that is not here from every other failure."""
        for commit in commits:
            check_object_id(commit, self._name)
        done = await self.repository.try_git(args, output_limit=output_limit)
        if done.code != 0:
            for commit in commits:
                if await self._commit(commit) is None:
                    raise UnknownRevisionError(commit, self._name)
            self.repository.refuse(args, done)
        return done
