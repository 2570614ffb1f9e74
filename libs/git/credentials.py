"""Lets git reach addresses that ask for a secret, without the secret in an address, an argument or a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from libs.git.environment import further

#: The variable by which one git process, and nothing else, is told the secret.
SECRET = "AUTOPILOT_GIT_SECRET"  # noqa: S105 - a name, not a secret
#: Git asks it on a 401 only, and only for the host it is set for.
_HELPER = (
    '!f() { if test "$1" = get; then printf \'username=x-access-token\\npassword=%s\\n\' "$'
    + SECRET
    + '"; fi; }; f'
)


class Credentials(Protocol):
    """Knows the secrets for some addresses."""

    async def variables(self, url: str) -> Mapping[str, str]:
        """Returns what a git process that reaches the address is given beside `hardened`.

        It is empty for an address without a secret. Raises GitError.
        """


class NoCredentials:
    """Knows none."""

    async def variables(self, url: str) -> Mapping[str, str]:
        """Returns nothing."""
        return {}


def by_password(site: str, secret: str, *, instead_of: tuple[str, ...] = ()) -> dict[str, str]:
    """Returns variables that give the secret to one site (`https://host`) as a password.

    Addresses that begin with one of `instead_of` are reached at the site. A redirect is an error: the secret
    must not follow it.
    """
    settings = [(f"credential.{site}.helper", _HELPER), ("http.followRedirects", "false")]
    settings += [(f"url.{site}/.insteadOf", prefix) for prefix in instead_of]
    return {SECRET: secret, **further(settings)}
