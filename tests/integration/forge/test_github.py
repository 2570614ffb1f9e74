"""GitHub keeps one open pull request per head and base, whatever its answers are like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.testing.forgecase import ForgeCase
from tests.integration.forge.githubserver import GitHubServer
from tests.integration.forge.githubsite import GitHubSite, publish


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GitHubSite]:
    publish(tmp_path)
    server = GitHubServer(tmp_path / "hub")
    await server.start()
    made = GitHubSite(tmp_path, server)
    await made.prepare()
    yield made
    await server.stop()


class TestGitHubForge(ForgeCase):
    """The behaviour of every forge."""
