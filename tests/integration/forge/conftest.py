"""A user's repository, its mirror with a finished piece of work, and a forge beside it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.forge.local import LocalForge
from libs.git.broker import Broker
from libs.git.mirror import Mirror

HEAD, BASE = "autopilot/t-1", "main"


class Site:
    """Everything a `pr` stage has at hand."""

    def __init__(self, data_dir: Path, url: str, mirror: Mirror, base: str, work: str) -> None:
        self.data_dir = data_dir
        self.url = url
        self.mirror = mirror
        self.forge = LocalForge(data_dir)
        self.base_commit = base
        self.work = work

    async def push(self, commit: str, head: str = HEAD) -> None:
        target = await self.forge.remote(self.url)
        expected = await self.forge.branch_head(self.url, head)
        await self.mirror.push(target, commit, f"refs/heads/{head}", expected=expected)

    async def change(self, text: str, base: str | None = None) -> str:
        """Makes a further commit."""
        path = self.data_dir / "work" / "change"
        worktree = await self.mirror.add_worktree(path, base or self.base_commit)
        (path / "app.py").write_text(text)
        commit = await worktree.commit(text, when=datetime(2026, 1, 1, tzinfo=UTC))
        await self.mirror.remove_worktree(path)
        assert commit is not None
        return commit

    async def git(self, *args: str) -> str:
        return git(Path(await self.forge.remote(self.url)), *args)


def git(folder: Path, *args: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "U",
        "GIT_AUTHOR_EMAIL": "u@example.org",
        "GIT_COMMITTER_NAME": "U",
        "GIT_COMMITTER_EMAIL": "u@example.org",
    }
    done = subprocess.run(
        ["git", *args], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "--quiet", "--initial-branch=main")
    (source / "app.py").write_text("one\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "first")
    data_dir = tmp_path / "data"
    mirror = await Broker(data_dir).mirror(str(source))
    base = await mirror.resolve("main")
    site = Site(data_dir, str(source), mirror, base, "")
    site.work = await site.change("two\n")
    return site
