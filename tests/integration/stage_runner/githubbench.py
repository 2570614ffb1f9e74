"""The bench with its repository at the test's GitHub, reached by token as the settings say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import msgspec

from contracts.task import StageInput, TaskSpec
from libs.forge.port import Forge
from libs.git.broker import Broker
from libs.git.mirror import Mirror
from libs.testing.world import World
from services.stage_runner.adapters.workplace import Workplace
from services.stage_runner.app import service
from tests.integration.forge.githubserver import TOKEN, GitHubServer
from tests.integration.forge.githubsite import WHERE
from tests.integration.stage_runner.bench import Bench
from tests.integration.stage_runner.receipts import verification


class GitHubBench(Bench):
    """One task's stages on a repository at GitHub."""

    def __init__(self, root: Path, server: GitHubServer, settings: dict[str, str]) -> None:
        super().__init__(root)
        self.server = server
        bare = server.root / f"{WHERE}.git"
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", self.shop.url, str(bare)], check=True, timeout=60
        )
        self.url = f"{server.url}/{WHERE}.git"
        self.world = World((service,), str(self.data), settings)

    @property
    def workplace(self) -> Workplace:
        """What every run has, anew as in a new process."""
        return Workplace(self.world.running["stage-runner"])

    @property
    def hub(self) -> Forge:
        """The forge of the repository."""
        return self.workplace.hosting.forge_for(self.url)

    async def mirror(self) -> Mirror:
        """The private clone, by token."""
        return await Broker(self.data, credentials=self.workplace.hosting.credentials).mirror(self.url)

    def task(self, **repo: Any) -> TaskSpec:
        """The task, for the address at GitHub."""
        return super().task(**{"url": self.url, **repo})

    async def given(self, text: str = "one\n", **repo: Any) -> StageInput:
        """What `pr` gets: a change that was verified."""
        change = await self.change(text)
        return StageInput(spec=self.task(**repo), changes=(change,), verifications=(verification(change),))

    async def watched(self, given: StageInput) -> StageInput:
        """Open the pull request and return what `monitor` gets then."""
        output = await self.carry(self.request("pr", given))
        return msgspec.structs.replace(given, pull_requests=output.pull_requests)


def settings_for(server: GitHubServer, root: Path) -> dict[str, str]:
    """Write the token's file and return the settings of the services."""
    (root / "token").write_text(TOKEN + "\n")
    return {"config_github_token_file": str(root / "token"), "config_github_web_url": server.url}
