"""The workspace: what a plan builds on is cloned, checked out, set up, and every command is run on it once.

What it measures goes into the cache of bases, where every verification of every attempt, and of every task on the
same base, finds it. What shows that the task cannot be done ends it here, before anything is changed.
"""

from __future__ import annotations

import asyncio

from contracts.receipt import Problem, RepoBaseline, RepoVerification
from contracts.stage import StageOutput
from contracts.task import Failure, PlannedRepo, RepoSpec, WorkspaceRequested
from libs.verification.baseline import baseline
from services.stage_runner.adapters.stages.context import StageContext, StageError, fail
from services.stage_runner.adapters.stages.verify import bounded, measured


async def carry(context: StageContext) -> StageOutput:
    """Make every repository of the plan ready, or say why none of its changes could be verified."""
    request, plan = context.request, context.input.plan
    assert isinstance(request, WorkspaceRequested), "nothing else asks for a workspace"
    if plan is None:
        fail("impossible", "no_plan", "the workspace was asked for before the plan")
    repos = {repo.name: repo for repo in context.input.spec.repos}
    try:
        async with asyncio.timeout(request.wall_s):
            seen = [await _seen(context, repos[step.repo], step) for step in plan.repos]
    except TimeoutError:
        detail = f"clone, set-up and commands on the base took more than {request.wall_s:.0f} s"
        fail("transient", "workspace_too_slow", detail)
    return StageOutput(baselines=tuple(seen))


async def _seen(context: StageContext, repo: RepoSpec, step: PlannedRepo) -> RepoBaseline:
    found = bounded(await measured(context, repo, baseline, step.base_commit, step.base_commit))
    if found.problems:
        raise _hopeless(found)
    return RepoBaseline(
        repo=repo.name,
        base_commit=found.base_commit,
        tree=found.base_tree,
        environment=found.environment,
        commands=found.commands,
    )


def _hopeless(found: RepoVerification) -> StageError:
    """Tell it with the receipts by which it can be seen, as a verification would have told it."""
    first: Problem = found.problems[0]
    failure = Failure(
        kind="impossible",
        code=first.code,
        detail=f"{found.repo}, before anything was changed: {first.detail}",
        repo=found.repo,
        findings=found.problems,
    )
    return StageError(failure, StageOutput(verifications=(found,)))
