"""Stage `plan`: which files, which commands judge it, how it is taken back. Two plans with one digest are the same."""

from __future__ import annotations

import hashlib

import msgspec

from contracts.stage import StageOutput
from contracts.task import Plan, PlannedRepo, RepoSpec
from services.stage_runner.adapters.stages import patching
from services.stage_runner.adapters.stages.context import StageContext, fail


async def carry(context: StageContext) -> StageOutput:
    """Plan the change that the task's patch makes."""
    specification = context.input.specification
    if specification is None:
        fail("impossible", "no_specification", "the plan was asked for before the specification")
    repos = [
        await _planned(context, repo, specification.bases[repo.name]) for repo in context.input.spec.repos
    ]
    delta = context.input.delta
    approach = "apply the patch that the task carries" + (f"; {delta.different}" if delta else "")
    content = msgspec.json.encode((approach, repos))
    plan = Plan(
        approach=approach,
        repos=tuple(repos),
        risk=specification.risk,
        digest=hashlib.sha256(content).hexdigest(),
    )
    await context.keep("plan.json", msgspec.json.format(msgspec.json.encode(plan)), "application/json")
    return StageOutput(plan=plan)


async def _planned(context: StageContext, repo: RepoSpec, base: str) -> PlannedRepo:
    patch = patching.text_for(context.input.spec, repo.name)
    files = await patching.touched(patch)
    commands = (repo.verify.build, repo.verify.test, repo.verify.audit)
    return PlannedRepo(
        repo=repo.name,
        base_commit=base,
        files=tuple(sorted({entry.path for entry in files})),
        verification=(*repo.fail_to_pass, *(command for command in commands if command)),
        rollback=f"close the pull request, or `git revert` its one commit on {repo.base}",
        patch_digest=hashlib.sha256(patch).hexdigest(),
    )
