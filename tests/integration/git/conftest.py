"""Real repositories for the git tests: made with plain git, apart from the code under test."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.git.broker import Broker

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A User",
    "GIT_AUTHOR_EMAIL": "user@example.org",
    "GIT_COMMITTER_NAME": "A User",
    "GIT_COMMITTER_EMAIL": "user@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


class Source:
    """A user's repository with a checkout."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    @property
    def url(self) -> str:
        return str(self.path)

    def git(self, *args: str, data: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.path, env=_ENVIRONMENT, input=data, capture_output=True, timeout=60
        )
        if done.returncode != 0:
            raise AssertionError(f"git {args}: {done.stderr.decode(errors='replace')}")
        return os.fsdecode(done.stdout).rstrip("\n")

    def write(self, name: str, content: str | bytes = "text\n", *, executable: bool = False) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if executable:
            path.chmod(0o755)

    def commit(self, message: str = "change") -> str:
        self.git("add", "--all", "--force")
        self.git("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def tree_of(self, folder: Path) -> str:
        """The tree id of a folder's content, computed by a git that converts nothing."""
        scratch = self.path.parent / "tree-of"
        subprocess.run(
            ["git", "init", "--quiet", "--bare", str(scratch)], env=_ENVIRONMENT, check=True, timeout=60
        )
        (scratch / "info" / "attributes").write_text("* -text !filter !ident !working-tree-encoding\n")
        index = scratch / f"index-{hashlib.sha256(str(folder).encode()).hexdigest()}"
        environment = {
            **_ENVIRONMENT,
            "GIT_DIR": str(scratch),
            "GIT_WORK_TREE": str(folder),
            "GIT_INDEX_FILE": str(index),
        }
        subprocess.run(
            ["git", "add", "--all", "--force", "."], cwd=folder, env=environment, check=True, timeout=60
        )
        done = subprocess.run(
            ["git", "write-tree"], cwd=folder, env=environment, capture_output=True, check=True
        )
        return done.stdout.decode().strip()


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Source]:
    """Makes a further user's repository."""
    return lambda name, *options: Source(tmp_path / name, *options)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A user's repository with two commits on main and a tag on the first."""
    repository = Source(tmp_path / "user repository")
    repository.write("README.md", "hello\n")
    repository.write("src/app.py", "def f():\n    return 1\n")
    repository.write("run.sh", "#!/bin/sh\n", executable=True)
    repository.commit("first")
    repository.git("tag", "v1")
    repository.write("src/app.py", "def f():\n    return 2\n")
    repository.commit("second")
    return repository


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path / "data", timeout_s=30)


@pytest.fixture
def fingerprint() -> Callable[[Path], str]:
    """Hashes names, modes, link texts and bytes of everything below a folder, `.git` included."""

    def of(folder: Path) -> str:
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            status = path.lstat()
            digest.update(f"{path.relative_to(folder)}\0{status.st_mode}\0{status.st_mtime_ns}\0".encode())
            if path.is_symlink():
                digest.update(os.readlink(path).encode())
            elif path.is_file():
                digest.update(path.read_bytes())
        return digest.hexdigest()

    return of
