"""Which forge keeps a repository's pull requests follows from its address and the settings, in one place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from libs.forge.github.forge import GitHubForge
from libs.forge.hosting import hosting
from libs.forge.local import LocalForge
from libs.git.credentials import NoCredentials
from libs.runtime.config import Config, ConfigError
from tests.integration.forge.githubserver import TOKEN


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings without GitHub."""
    names = ("service", "postgres_dsn", "nats_url", "nats_user", "nats_password")
    secrets = ("api_token", "scrape_token", "session_key")
    given = dict.fromkeys((*names, *secrets), "x")
    return Config(**given, data_dir=str(tmp_path / "data"), http_port=1)  # type: ignore[arg-type]


async def test_without_a_secret_everything_is_kept_locally(config: Config) -> None:
    chosen = hosting(config)
    for url in ("https://github.com/team/wide", "/srv/git/wide"):
        forge = chosen.forge_for(url)
        assert isinstance(forge, LocalForge)
        assert forge.annotator(url) is None
    assert isinstance(chosen.credentials, NoCredentials)
    assert chosen.secrets == ()


async def test_with_a_secret_addresses_of_the_site_are_githubs_and_others_local(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    chosen = hosting(msgspec.structs.replace(config, config_github_token_file=str(tmp_path / "token")))
    for url, kind in (
        ("https://github.com/team/wide", GitHubForge),
        ("git@github.com:team/wide.git", GitHubForge),
        ("https://example.org/team/wide", LocalForge),
        ("/srv/git/wide", LocalForge),
    ):
        assert type(chosen.forge_for(url)) is kind
        given = await chosen.credentials.variables(url)
        assert (TOKEN in given.values()) == (kind is GitHubForge)
        assert not any(TOKEN in value for name, value in given.items() if name.startswith("GIT_CONFIG"))
    assert chosen.secrets == (TOKEN,)


async def test_a_secret_that_is_not_there_stops_the_service_by_name(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AUTOPILOT_CONFIG_GITHUB_TOKEN_FILE"):
        hosting(msgspec.structs.replace(config, config_github_token_file=str(tmp_path / "none")))
