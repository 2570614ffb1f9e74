"""Engine `patch`: applies the patch that the task carries."""

from __future__ import annotations

import hashlib

from contracts.task import RepoSpec, TaskSpec
from libs.git.error import PatchError
from libs.git.patch import Touched, touched_by
from services.stage_runner.adapters.engines.engine import Edit, Engine, Intent, Site
from services.stage_runner.adapters.stages.context import StageContext, fail


def text_for(spec: TaskSpec, repo: str) -> bytes:
    """Return the patch text meant for a repository; empty if there is none."""
    if isinstance(spec.patch, dict):
        return spec.patch.get(repo, "").encode()
    return (spec.patch or "").encode()


async def touched(patch: bytes) -> tuple[Touched, ...]:
    """List the files a patch touches, as git itself reads it. Ends the stage where git cannot read it."""
    if not patch:
        return ()
    try:
        return await touched_by(patch)
    except PatchError as error:
        fail("impossible", "patch_malformed", f"the patch cannot be read: {error}")


async def _intend(context: StageContext, repo: RepoSpec, base: str) -> Intent:
    patch = text_for(context.input.spec, repo.name)
    files = sorted({entry.path for entry in await touched(patch)})
    return Intent(files=tuple(files), patch_digest=hashlib.sha256(patch).hexdigest())


async def _edit(context: StageContext, repo: RepoSpec, site: Site) -> Edit:
    try:
        await site.worktree.apply(text_for(context.input.spec, repo.name))
    except PatchError as error:
        fail(
            "impossible",
            "patch_does_not_apply",
            f"the patch does not apply to {repo.name} at {site.base[:12]}: {error}",
            repo.name,
        )
    return Edit()


patch = Engine(approach="apply the patch that the task carries", intend=_intend, edit=_edit)
