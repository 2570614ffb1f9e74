"""Stage `plan`: which files, which commands judge it, how it is taken back. Two plans with one digest are the same."""

from __future__ import annotations

import hashlib

import msgspec

from contracts.stage import StageOutput
from contracts.task import Plan, PlannedRepo, RepoSpec
from services.stage_runner.adapters.engines.engine import Engine
from services.stage_runner.adapters.engines.table import engine_of
from services.stage_runner.adapters.stages.context import StageContext, fail


async def carry(context: StageContext) -> StageOutput:
    """Plan the change that the task's engine is going to make."""
    specification = context.input.specification
    if specification is None:
        fail("impossible", "no_specification", "the plan was asked for before the specification")
    engine = engine_of(context)
    repos = [
        await _planned(context, engine, repo, specification.bases[repo.name])
        for repo in context.input.spec.repos
    ]
    delta = context.input.delta
    approach = engine.approach + (f"; {delta.different}" if delta else "")
    content = msgspec.json.encode((approach, repos, delta.avoid if delta else ()))
    plan = Plan(
        approach=approach,
        repos=tuple(repos),
        risk=specification.risk,
        digest=hashlib.sha256(content).hexdigest(),
    )
    await context.keep("plan.json", msgspec.json.format(msgspec.json.encode(plan)), "application/json")
    return StageOutput(plan=plan)


async def _planned(context: StageContext, engine: Engine, repo: RepoSpec, base: str) -> PlannedRepo:
    intent = await engine.intend(context, repo, base)
    commands = (repo.verify.build, repo.verify.test, repo.verify.audit)
    return PlannedRepo(
        repo=repo.name,
        base_commit=base,
        files=intent.files,
        scope=intent.scope,
        verification=(*repo.fail_to_pass, *(command for command in commands if command)),
        rollback=f"close the pull request, or `git revert` its one commit on {repo.base}",
        patch_digest=intent.patch_digest,
    )
