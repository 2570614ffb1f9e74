"""Stage `implement`, engine `patch`: a worktree of the private clone, the patch, one commit."""

from __future__ import annotations

from contracts.stage import StageOutput
from contracts.task import RepoChange, RepoSpec
from libs.git.error import GitError, PatchError
from services.stage_runner.adapters.stages import patching
from services.stage_runner.adapters.stages.context import StageContext, fail, git_failure


async def carry(context: StageContext) -> StageOutput:
    """Make the commit, or fail clearly."""
    plan = context.input.plan
    if plan is None:
        fail("impossible", "no_plan", "the change was asked for before the plan")
    bases = {step.repo: step.base_commit for step in plan.repos}
    changes = [await _change(context, repo, bases[repo.name]) for repo in context.input.spec.repos]
    return StageOutput(changes=tuple(changes))


async def _change(context: StageContext, repo: RepoSpec, base: str) -> RepoChange:
    patch = patching.text_for(context.input.spec, repo.name)
    try:
        mirror = await context.mirror(repo)
        path = await context.worktree(mirror, repo, base)
        worktree = mirror.worktree(path)
        assert worktree is not None, "the worktree was made a moment ago"
        await worktree.apply(patch)
        commit = await worktree.commit(_message(context), when=context.now())
    except PatchError as error:
        fail(
            "impossible",
            "patch_does_not_apply",
            f"the patch does not apply to {repo.name} at {base[:12]}: {error}",
            repo.name,
        )
    except GitError as error:
        raise git_failure(error, "worktree_failed", repo.name) from error
    if commit is None:
        fail("impossible", "empty_change", f"the patch changes nothing in {repo.name}", repo.name)
    diff = await context.keep(f"{repo.name}/change.diff", await mirror.diff(base, commit), "text/x-diff")
    changes = await mirror.changes(base, commit)
    return RepoChange(
        repo=repo.name,
        base_commit=base,
        commit=commit,
        tree=await mirror.tree(commit),
        files=tuple(change.path for change in changes),
        diff=diff,
    )


def _message(context: StageContext) -> str:
    spec = context.input.spec
    return f"{spec.title}\n\n{spec.body.strip()}\n\nAutopilot-Task: {context.request.task_id}\nAutopilot-Engine: patch\n"
