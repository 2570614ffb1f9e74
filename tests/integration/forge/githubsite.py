"""A repository at the test's GitHub, its mirror cloned by token, and the forge beside it."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from libs.forge.github.access import GitHubAccess
from libs.forge.github.settings import GitHubSettings
from libs.forge.github.wire import Wire
from libs.git.broker import Broker
from libs.git.mirror import Mirror
from tests.integration.forge.githubserver import TOKEN, GitHubServer

WHERE = "team/wide"


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._began = time.time()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._began + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(seconds)


class GitHubSite:
    """Everything a `pr` stage has at hand."""

    def __init__(self, root: Path, server: GitHubServer) -> None:
        self.root, self.server = root, server
        self.data_dir = root / "data"
        self.url = f"{server.url}/{WHERE}.git"
        self.clock = Clock()
        self.access = self.reach()
        self.forge = self.access.forge

    def reach(self, *, timeout_s: float = 20.0, **settings: str) -> GitHubAccess:
        """Make what reaches the site, as a new process would; by token, or as the settings say."""
        given = settings or {"token_file": "given"}
        made = GitHubSettings(web_url=self.server.url, **given)
        secret = TOKEN if made.token_file else made.secret()
        wire = Wire(made.api, timeout_s=timeout_s, now=self.clock.now, sleep=self.clock.sleep)
        return GitHubAccess(made, secret, wire)

    async def prepare(self) -> None:
        """Clone and make the work."""
        self.mirror: Mirror = await Broker(self.data_dir, credentials=self.access).mirror(self.url)
        self.base_commit = await self.mirror.resolve("main")
        self.work = await self.change("two\n")

    async def push(self, commit: str, head: str = "autopilot/t-1") -> None:
        """Push as the stage does."""
        target = await self.forge.remote(self.url)
        expected = await self.forge.branch_head(self.url, head)
        await self.mirror.push(target, commit, f"refs/heads/{head}", expected=expected)

    async def change(self, text: str, base: str | None = None) -> str:
        """Make a further commit."""
        path = self.data_dir / "work" / "change"
        worktree = await self.mirror.add_worktree(path, base or self.base_commit)
        (path / "app.py").write_text(text)
        commit = await worktree.commit(text, when=datetime(2026, 1, 1, tzinfo=UTC))
        await self.mirror.remove_worktree(path)
        assert commit is not None
        return commit


def publish(root: Path, where: str = WHERE) -> None:
    """Put a repository with one commit where the server serves it."""
    source = root / "source"
    source.mkdir()
    git(source, "init", "--quiet", "--initial-branch=main")
    (source / "app.py").write_text("one\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "first")
    git(root, "clone", "--quiet", "--bare", str(source), str(root / "hub" / f"{where}.git"))


def git(folder: Path, *args: str) -> str:
    """Run git as a user who has no settings."""
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
