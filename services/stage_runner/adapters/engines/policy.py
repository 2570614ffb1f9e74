"""Reads a repository's policy from its base commit."""

from __future__ import annotations

import msgspec

from contracts.policy import POLICY_FILE, Policy
from libs.git.error import OversizeError
from libs.git.mirror import Mirror
from services.stage_runner.adapters.stages.context import fail

#: Bytes.
MAX_POLICY = 65_536


async def policy_of(mirror: Mirror, base: str, repo: str) -> Policy:
    """Return the policy at a commit; a repository without the file has the default. Ends the stage for a bad one."""
    where = f"{POLICY_FILE} of {repo} at {base[:12]}"
    try:
        text = await mirror.blob(base, POLICY_FILE, limit=MAX_POLICY)
        return Policy() if text is None else msgspec.toml.decode(text, type=Policy)
    except OversizeError as error:
        fail("impossible", "policy_invalid", f"{where}: {error}", repo)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fail("impossible", "policy_invalid", f"{where}: {error}", repo)
