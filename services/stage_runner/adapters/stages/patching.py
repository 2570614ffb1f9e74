"""What a patch text says it touches, as git itself reads it."""

from __future__ import annotations

from contracts.task import TaskSpec
from libs.git.error import PatchError
from libs.git.patch import Touched, touched_by
from services.stage_runner.adapters.stages.context import fail


def text_for(spec: TaskSpec, repo: str) -> bytes:
    """Return the patch text meant for a repository; empty if there is none."""
    if isinstance(spec.patch, dict):
        return spec.patch.get(repo, "").encode()
    return (spec.patch or "").encode()


async def touched(patch: bytes) -> tuple[Touched, ...]:
    """List the files a patch touches. Ends the stage where git cannot read it."""
    if not patch:
        return ()
    try:
        return await touched_by(patch)
    except PatchError as error:
        fail("impossible", "patch_malformed", f"the patch cannot be read: {error}")
