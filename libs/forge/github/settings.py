"""What a person sets to let the product use GitHub, and the secrets behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from libs.runtime.config import Config, ConfigError

#: Settings are variables of this name in upper case, and fields of `Config` in lower case.
PREFIX = "config_github_"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MAX_SECRET = 65_536


class GitHubSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Names a site and the files of its secrets; a token and an app exclude each other."""

    token_file: str = ""
    app_id: str = ""
    app_key_file: str = ""
    web_url: str = "https://github.com"
    #: Empty: what follows from `web_url`.
    api_url: str = ""

    @property
    def configured(self) -> bool:
        """Tells whether GitHub is to be used."""
        return bool(self.token_file or self.app_id or self.app_key_file)

    @property
    def site(self) -> str:
        """Returns the address people see, without a slash at its end."""
        return self.web_url.rstrip("/")

    @property
    def api(self) -> str:
        """Returns the address of the REST API, without a slash at its end."""
        if self.api_url:
            return self.api_url.rstrip("/")
        parts = urlsplit(self.site)
        if parts.hostname == "github.com" or (parts.hostname or "").endswith(".ghe.com"):
            return f"{parts.scheme}://api.{parts.netloc}"
        return f"{self.site}/api/v3"

    def secret(self) -> str:
        """Returns the token or the app's private key; raises ConfigError naming the setting at fault."""
        name = "token_file" if self.token_file else "app_key_file"
        if self.token_file and (self.app_id or self.app_key_file):
            raise ConfigError(f"{_variable('token_file')} and {_variable('app_id')} exclude each other")
        if not self.token_file and not (self.app_id and self.app_key_file):
            raise ConfigError(f"an app needs both {_variable('app_id')} and {_variable('app_key_file')}")
        for field, address in (("web_url", self.site), ("api_url", self.api)):
            _check_address(field, address)
        return _read(name, Path(getattr(self, name)))


def settings_of(config: Config) -> GitHubSettings:
    """Returns the settings of a service."""
    fields = msgspec.structs.fields(GitHubSettings)
    return GitHubSettings(**{field.name: getattr(config, PREFIX + field.name) for field in fields})


def settings_from(environment: Mapping[str, str]) -> GitHubSettings:
    """Returns the settings of a command, which sees the variables that services are given."""
    fields = msgspec.structs.fields(GitHubSettings)
    given = {field.name: environment.get(_variable(field.name)) for field in fields}
    return GitHubSettings(**{name: value for name, value in given.items() if value is not None})


def _variable(field: str) -> str:
    return f"AUTOPILOT_{PREFIX}{field}".upper()


def _check_address(field: str, address: str) -> None:
    parts = urlsplit(address)
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{_variable(field)}: {address!r} is no plain address (https://host)")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"{_variable(field)}: {address!r} would send the secret in the clear; use https")


def _read(field: str, path: Path) -> str:
    name = _variable(field)
    if not path.is_absolute():
        raise ConfigError(f"{name}: {path} is a relative path; services run in folders of their own")
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {path} cannot be read: {type(error).__name__}") from None
    if not text:
        raise ConfigError(f"{name}: {path} is empty")
    if field == "token_file" and not (text.isascii() and text.isprintable() and " " not in text):
        raise ConfigError(f"{name}: {path} holds more than one token on one line")
    return text
