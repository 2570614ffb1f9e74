"""Takes a task's words from a GitHub issue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopilot.cli import github
from autopilot.cli.failure import CliError, UsageError
from libs.forge.error import ForgeError, ForgeRefusedError
from libs.runtime.config import ConfigError

if TYPE_CHECKING:
    from libs.forge.github.issue import Issue


def is_issue(text: str) -> bool:
    """Tell whether an argument is an issue's address and not a file."""
    return text.startswith(("https://", "http://")) and "/issues/" in text


def read(url: str, environment: Mapping[str, str] = os.environ) -> Issue:
    """Read an issue (`title`, `body`, `labels`, `repo_url`) with the configured secret.

    Its text is an outsider's: bounded, without what a person would not see, and marked.
    Raises UsageError, and CliError where GitHub cannot be reached.
    """
    try:
        access = github.access(environment)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    if access is None:
        raise UsageError(f"{url}: reading an issue needs a token: {github.HOW}")
    from libs.forge.github.issue import read as read_issue

    try:
        return asyncio.run(read_issue(access, url))
    except ForgeRefusedError as error:
        raise UsageError(error.cause) from None
    except ForgeError as error:
        raise CliError(f"{url} cannot be read now: {error}") from None
