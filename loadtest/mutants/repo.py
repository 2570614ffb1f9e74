"""Trees of a repository with one file replaced, published so that nothing of the unchanged tree comes along."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SETTINGS = {
    "GIT_AUTHOR_NAME": "cases",
    "GIT_AUTHOR_EMAIL": "cases@example.invalid",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "cases",
    "GIT_COMMITTER_EMAIL": "cases@example.invalid",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class MutationRepo:
    """A repository to make trees in, beside a source that is only read."""

    def __init__(self, source: Path, place: Path) -> None:
        objects = _git(source, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        self._git_dir, self._index = place / "git", place / "index"
        _git(place, "init", "-q", "--bare", str(self._git_dir))
        (self._git_dir / "objects/info/alternates").write_bytes(objects)

    def tree_of(self, revision: str) -> str:
        """Return the id of the tree of a commit."""
        return self._call("rev-parse", "--verify", f"{revision}^{{tree}}").decode().strip()

    def files(self, tree: str) -> list[str]:
        """List the paths of a tree."""
        listing = self._call("ls-tree", "-r", "-z", "--name-only", tree).decode()
        return [path for path in listing.split("\0") if path]

    def check_out(self, tree: str, place: Path) -> None:
        """Write a tree's files to a directory, made for it, as a checkout without a history."""
        place.mkdir()
        self._call("read-tree", tree)
        self._call(f"--work-tree={place}", "checkout-index", "-a")

    def replace(self, tree: str, path: str, content: bytes) -> str:
        """Return the id of a tree that differs in the content of one file."""
        mode = self._call("ls-tree", tree, "--", path).split()[0].decode()
        blob = self._call("hash-object", "-w", "--stdin", stdin=content).decode().strip()
        self._call("read-tree", tree)
        self._call("update-index", "--cacheinfo", f"{mode},{blob},{path}")
        return self._call("write-tree").decode().strip()

    def patch(self, before: str, after: str) -> bytes:
        """Return the patch from one tree to another."""
        return self._call("diff", "--binary", "--full-index", before, after)

    def patched(self, tree: str, patch: bytes) -> str:
        """Return the id of the tree that a patch makes of another."""
        self._call("read-tree", tree)
        self._call("apply", "--cached", "--binary", stdin=patch)
        return self._call("write-tree").decode().strip()

    def publish(self, tree: str, message: str, bare: Path, branch: str) -> None:
        """Make a bare repository that holds one commit, without parents, and no other object."""
        commit = self._call("commit-tree", tree, "-m", message).decode().strip()
        self._call("update-ref", f"refs/heads/{branch}", commit)
        shutil.rmtree(bare, ignore_errors=True)
        bare.parent.mkdir(parents=True, exist_ok=True)
        _git(self._git_dir, "init", "-q", "--bare", str(bare))
        # a fetch takes what can be reached from the commit; a copy would take the objects of the source along
        _git(bare, "fetch", "-q", "--no-tags", str(self._git_dir), f"refs/heads/{branch}:refs/heads/{branch}")
        _git(bare, "symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def clone(self, bare: Path, place: Path) -> None:
        """Check out what was published."""
        _git(self._git_dir, "clone", "-q", str(bare), str(place))

    def apply(self, patch: bytes, place: Path) -> None:
        """Apply a patch to a checkout."""
        _git(place, "apply", "--binary", stdin=patch)

    def _call(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return _git(self._git_dir, *arguments, stdin=stdin, GIT_INDEX_FILE=str(self._index))


def _git(cwd: Path, *arguments: str, stdin: bytes | None = None, **env: str) -> bytes:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", *arguments],
        cwd=cwd,
        env={**outer, **_SETTINGS, **env},
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=120,
    )
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments[:3])}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
