"""Settings of GitHub: where it is, and secrets from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.forge.github.settings import GitHubSettings, settings_from, settings_of
from libs.runtime.config import Config, ConfigError, read

REQUIRED = {
    f"AUTOPILOT_{name}": "x"
    for name in (
        *("SERVICE", "DATA_DIR", "POSTGRES_DSN", "NATS_URL", "NATS_USER", "NATS_PASSWORD"),
        *("API_TOKEN", "SCRAPE_TOKEN", "SESSION_KEY"),
    )
} | {"AUTOPILOT_HTTP_PORT": "1"}


@pytest.mark.parametrize(
    ("web", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://github.com/", "https://api.github.com"),
        ("https://team.ghe.com", "https://api.team.ghe.com"),
        ("https://git.example.org", "https://git.example.org/api/v3"),
        ("http://127.0.0.1:99", "http://127.0.0.1:99/api/v3"),
    ],
)
def test_the_api_follows_from_the_site(web: str, api: str) -> None:
    assert GitHubSettings(web_url=web).api == api


def test_services_and_commands_read_the_same_settings() -> None:
    given = {
        "AUTOPILOT_CONFIG_GITHUB_TOKEN_FILE": "/run/secrets/token",
        "AUTOPILOT_CONFIG_GITHUB_API_URL": "https://api.example.org/",
    }
    settings = settings_from(given)
    assert settings == settings_of(read({**REQUIRED, **given}))
    assert (settings.configured, settings.api) == (True, "https://api.example.org")
    assert not settings_from({}).configured
    assert not settings_of(read(REQUIRED)).configured


def test_every_setting_of_github_is_one_of_the_services() -> None:
    ours = {f"config_github_{name}" for name in GitHubSettings.__struct_fields__}
    assert ours == {name for name in Config.__struct_fields__ if "github" in name}


def test_a_secret_is_the_files_text_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ghp_abc\n")
    assert GitHubSettings(token_file=str(tmp_path / "token")).secret() == "ghp_abc"
    (tmp_path / "key").write_text("-----BEGIN\nx\n")
    assert GitHubSettings(app_id="1", app_key_file=str(tmp_path / "key")).secret() == "-----BEGIN\nx"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"token_file": "token"}, "GITHUB_TOKEN_FILE: token is a relative path"),
        ({"token_file": "/nowhere/token"}, "cannot be read: FileNotFoundError"),
        ({"token_file": "EMPTY"}, "is empty"),
        ({"token_file": "TWO"}, "more than one token"),
        ({"token_file": "TOKEN", "app_id": "1"}, "exclude each other"),
        ({"app_id": "1"}, "needs both"),
        ({"app_key_file": "TOKEN"}, "needs both"),
        ({"token_file": "TOKEN", "web_url": "http://example.org"}, "in the clear"),
        ({"token_file": "TOKEN", "api_url": "http://example.org"}, "in the clear"),
        ({"token_file": "TOKEN", "web_url": "https://u:p@example.org"}, "no plain address"),
        ({"token_file": "TOKEN", "web_url": "github.com"}, "no plain address"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_name(
    settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    for name, text in (("EMPTY", " \n"), ("TWO", "ghp_canary\nghp_other\n"), ("TOKEN", "ghp_canary")):
        (tmp_path / name).write_text(text)
    settings = {
        key: str(tmp_path / value) if value in ("EMPTY", "TWO", "TOKEN") else value
        for key, value in settings.items()
    }
    with pytest.raises(ConfigError, match=words) as caught:
        GitHubSettings(**settings).secret()
    assert "canary" not in str(caught.value)
