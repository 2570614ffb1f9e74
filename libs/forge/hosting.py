"""Chooses the forge of a repository by its address: GitHub where it is set up, else the local one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from libs.forge.local import LocalForge
from libs.forge.port import Forge
from libs.git.credentials import Credentials, NoCredentials
from libs.runtime.config import Config


class Hosting(msgspec.Struct, frozen=True, kw_only=True):
    """Is what a process needs to reach repositories."""

    #: Returns the forge that keeps a repository's pull requests, by the repository's address.
    forge_for: Callable[[str], Forge]
    #: For the broker.
    credentials: Credentials
    #: For the redactor.
    secrets: tuple[str, ...] = ()


def hosting(config: Config) -> Hosting:
    """Returns what the settings say; raises ConfigError for settings that cannot be used.

    Nothing of GitHub is imported, and no time lost, where it is not set up.
    """
    local = LocalForge(config.data)
    if not (
        config.config_github_token_file or config.config_github_app_id or config.config_github_app_key_file
    ):
        return Hosting(forge_for=lambda _: local, credentials=NoCredentials())
    from libs.forge.github.access import GitHubAccess
    from libs.forge.github.settings import settings_of

    settings = settings_of(config)
    secret = settings.secret()
    github = GitHubAccess(settings, secret)
    return Hosting(
        forge_for=lambda url: github.forge if github.keeps(url) else local,
        credentials=github,
        secrets=(secret,),
    )
