"""GitHub as a command sees it: set up by the variables that services are given, and whether that works."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from libs.forge.error import ForgeError
from libs.forge.github.settings import settings_from
from libs.runtime.config import ConfigError

if TYPE_CHECKING:
    from libs.forge.github.access import GitHubAccess

HOW = "set AUTOPILOT_CONFIG_GITHUB_TOKEN_FILE to the absolute path of a file with a token (docs/github.md)"


def access(environment: Mapping[str, str] = os.environ) -> GitHubAccess | None:
    """Return what reaches GitHub, or None where it is not set up. Raises ConfigError."""
    settings = settings_from(environment)
    if not settings.configured:
        return None
    secret = settings.secret()
    # Imported here: it takes a third of a second that no other command should pay.
    from libs.forge.github.access import GitHubAccess

    return GitHubAccess(settings, secret)


def check(environment: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Tell whether GitHub can be used as it is set up, and what was found."""
    try:
        reached = access(environment)
        if reached is None:
            return True, f"not set up: every pull request stays in the local forge; {HOW}"
        return True, f"{reached.site}: {asyncio.run(reached.tokens.check())}"
    except (ConfigError, ForgeError) as error:
        return False, str(error)
