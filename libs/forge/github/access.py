"""Ties settings, client, forge and git credentials of one GitHub site together."""

from __future__ import annotations

from collections.abc import Mapping

from libs.forge.error import ForgeError, ForgeUnavailableError
from libs.forge.github.address import parse, ssh_forms
from libs.forge.github.client import Client
from libs.forge.github.forge import GitHubForge
from libs.forge.github.settings import GitHubSettings
from libs.forge.github.token import AppTokens, GivenToken, Tokens
from libs.forge.github.wire import Wire
from libs.git.credentials import by_password
from libs.git.error import CloneError
from libs.git.url import redact


class GitHubAccess:
    """Is all that reaches a GitHub site."""

    def __init__(self, settings: GitHubSettings, secret: str, wire: Wire | None = None) -> None:
        wire = wire or Wire(settings.api)
        self.site = settings.site
        self.tokens: Tokens = (
            GivenToken(wire, secret) if settings.token_file else AppTokens(wire, settings.app_id, secret)
        )
        self.client = Client(wire, self.tokens)
        self.forge = GitHubForge(self.client, self.site)

    def keeps(self, url: str) -> bool:
        """Tells whether the address is a repository of the site."""
        return parse(url, self.site) is not None

    async def variables(self, url: str) -> Mapping[str, str]:
        """Returns what a git process needs to reach the address; raises CloneError (see `Credentials`)."""
        address = parse(url, self.site)
        if address is None:
            return {}
        try:
            token = await self.tokens.token(address)
        except ForgeError as error:
            transient = isinstance(error, ForgeUnavailableError) and error.transient
            raise CloneError(redact(url), str(error), transient=transient) from error
        return by_password(self.site, token, instead_of=ssh_forms(self.site))
