"""Stage `implement`: a worktree of the private clone, the engine's edit, one commit."""

from __future__ import annotations

from contracts.stage import StageOutput
from contracts.task import RepoChange, RepoSpec
from libs.git.error import GitError
from services.stage_runner.adapters.engines.engine import Engine, Site
from services.stage_runner.adapters.engines.table import engine_of
from services.stage_runner.adapters.stages.context import StageContext, fail, git_failure


async def carry(context: StageContext) -> StageOutput:
    """Make the commit, or fail clearly."""
    plan = context.input.plan
    if plan is None:
        fail("impossible", "no_plan", "the change was asked for before the plan")
    engine = engine_of(context)
    bases = {step.repo: step.base_commit for step in plan.repos}
    changes = [await _change(context, engine, repo, bases[repo.name]) for repo in context.input.spec.repos]
    return StageOutput(changes=tuple(changes))


async def _change(context: StageContext, engine: Engine, repo: RepoSpec, base: str) -> RepoChange:
    try:
        mirror = await context.mirror(repo)
        path = await context.worktree(mirror, repo, base)
        worktree = mirror.worktree(path)
        assert worktree is not None, "the worktree was made a moment ago"
        edit = await engine.edit(context, repo, Site(mirror=mirror, worktree=worktree, base=base))
        commit = await worktree.commit(_message(context), when=context.now())
    except GitError as error:
        raise git_failure(error, "worktree_failed", repo.name) from error
    if commit is None:
        name = context.input.spec.engine
        fail("impossible", "empty_change", f"engine {name} changed nothing in {repo.name}", repo.name)
    tree = await mirror.tree(commit)
    delta = context.input.delta
    if delta is not None and tree in delta.avoid:
        # Verified again, it would fail again: a loop, not an attempt.
        detail = f"the change of {repo.name} is one that has failed before (tree {tree[:12]})"
        fail("impossible", "repeated_change", detail, repo.name)
    diff = await context.keep(f"{repo.name}/change.diff", await mirror.diff(base, commit), "text/x-diff")
    changes = await mirror.changes(base, commit)
    return RepoChange(
        repo=repo.name,
        base_commit=base,
        commit=commit,
        tree=tree,
        files=tuple(change.path for change in changes),
        diff=diff,
        remarks=edit.remarks,
    )


def _message(context: StageContext) -> str:
    spec = context.input.spec
    trailers = f"Autopilot-Task: {context.request.task_id}\nAutopilot-Engine: {spec.engine}"
    return f"{spec.title}\n\n{spec.body.strip()}\n\n{trailers}\n"
