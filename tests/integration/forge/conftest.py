"""A user's repository, its mirror with a finished piece of work, and a forge beside it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from libs.forge.local import LocalForge
from libs.git.broker import Broker
from libs.git.mirror import Mirror
from tests.integration.forge.githubserver import APP_ID, GitHubServer
from tests.integration.forge.githubsite import GitHubSite, git, publish

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


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a GitHub serves at first, made once."""
    root = tmp_path_factory.mktemp("published")
    publish(root)
    return root / "hub"


@pytest.fixture
async def hub(tmp_path: Path, published: Path) -> AsyncIterator[GitHubSite]:
    """A repository at a GitHub."""
    shutil.copytree(published, tmp_path / "hub")
    server = GitHubServer(tmp_path / "hub")
    await server.start()
    made = GitHubSite(tmp_path, server)
    await made.prepare()
    yield made
    await server.stop()


@pytest.fixture(scope="session")
def key() -> str:
    """The private key of a GitHub app."""
    made = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
def app(hub: GitHubSite, key: str, tmp_path: Path) -> dict[str, str]:
    """Settings of a GitHub app that the hub knows."""
    (tmp_path / "app.pem").write_text(key)
    private = serialization.load_pem_private_key(key.encode(), None)
    hub.server.app_key = (
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    return {"app_id": APP_ID, "app_key_file": str(tmp_path / "app.pem")}
