"""Stage `pr`: the branch is pushed and the pull request opened once, whatever dies in between."""

from __future__ import annotations

from contracts.stage import StageOutput
from contracts.task import PullRequestRef, RepoChange, RepoSpec
from libs.forge.error import ForgeError, PullRequestExistsError
from libs.forge.port import PullRequest
from libs.git.error import GitError, LeaseLostError
from services.stage_runner.adapters.stages.annotation import annotate, effects_on
from services.stage_runner.adapters.stages.context import (
    Outcome,
    StageContext,
    fail,
    forge_failure,
    git_failure,
)
from services.stage_runner.adapters.stages.description import body_for, evidence_for, is_of_task


async def carry(context: StageContext) -> StageOutput:
    """Publish every repository's change."""
    changes = {change.repo: change for change in context.input.changes}
    pulls = []
    for repo in context.input.spec.repos:
        change = changes.get(repo.name)
        if change is None:
            fail("impossible", "no_change", f"there is no change to publish for {repo.name}", repo.name)
        try:
            await _push(context, repo, change)
            pull = await _publish(context, repo, change)
        except ForgeError as error:
            raise forge_failure(error, repo.name) from error
        await annotate(context, repo, change, pull)
        pulls.append(_reference(repo, pull))
    return StageOutput(pull_requests=tuple(pulls))


def branch_of(context: StageContext) -> str:
    """Name the one branch that a task has in each repository."""
    return f"autopilot/{context.request.task_id}"


def effect_of(repo: RepoSpec) -> str:
    """Name the effect of a repository's pull request."""
    return f"pull_request:{repo.name}"


async def _push(context: StageContext, repo: RepoSpec, change: RepoChange) -> None:
    effect = f"push:{repo.name}"
    branch = branch_of(context)
    mirror = await context.mirror(repo)
    # Read before the intent, which checks the lease: a replica that slept in between must not lease what a newer one
    # has pushed.
    forge = context.forge_for(repo.url)
    before = await forge.branch_head(repo.url, branch)
    await context.ledger.intend(effect, "push", repo.url, f"{branch} -> {change.commit}")
    if before == change.commit:
        await context.ledger.settle(effect, "adopted", change.commit)
        return
    if before is not None and before not in await _pushed(context, effect):
        # A lease on what was seen a moment ago would protect nobody's work but that of the last moment.
        await context.ledger.settle(effect, "refused", before)
        fail(
            "impossible",
            "branch_moved",
            f"{branch} of {repo.name} is at {before[:12]}, which this task did not push: save that work and delete the branch",
            repo.name,
        )
    try:
        target = await forge.remote(repo.url)
        await mirror.push(target, change.commit, f"refs/heads/{branch}", expected=before)
    except LeaseLostError as error:
        await context.ledger.settle(effect, "refused", str(error))
        fail(
            "transient",
            "branch_moved",
            f"{branch} of {repo.name} was moved by somebody else: {error}",
            repo.name,
        )
    except GitError as error:
        raise git_failure(error, "push_failed", repo.name) from error
    await context.ledger.settle(effect, "done", change.commit)


async def _pushed(context: StageContext, effect: str) -> set[str]:
    """List the commits that this task's runs have meant to push."""
    return {detail.rpartition(" ")[2] for detail in await context.ledger.meant(effect)}


async def _publish(context: StageContext, repo: RepoSpec, change: RepoChange) -> PullRequest:
    """Look the pull request up by head and base; open it, or bring it up to date."""
    forge, branch = context.forge_for(repo.url), branch_of(context)
    effect = effect_of(repo)
    title = context.redacted(context.input.spec.title)
    body = context.redacted(body_for(context.input, context.request.task_id, repo, change))
    evidence = evidence_for(context.input, repo)
    base = _base_branch(context, repo)
    await context.ledger.intend(effect, "open_pull_request", repo.url, f"{branch} -> {base}")
    found = await forge.find(repo.url, branch, base)
    if found is None:
        try:
            opened = await forge.open(
                repo.url,
                head=branch,
                base=base,
                head_commit=change.commit,
                base_commit=change.base_commit,
                title=title,
                body=body,
                draft=context.input.draft,
                evidence=evidence,
            )
            await context.ledger.settle(effect, "done", opened.url)
            return opened
        except PullRequestExistsError as error:
            found = await forge.get(repo.url, error.number)
    if not is_of_task(found.body, context.request.task_id):
        # The branch is ours, so a person opened it from there: that text is not ours to replace.
        await context.ledger.settle(effect, "refused", found.url)
        fail(
            "impossible",
            "pull_request_foreign",
            f"somebody else opened {found.url} from {branch}: close it, and this one can be opened",
            repo.name,
        )
    updated = await forge.update(
        repo.url,
        found.number,
        head_commit=change.commit,
        title=title,
        body=body,
        evidence=evidence,
        draft=context.input.draft,
    )
    await context.ledger.settle(effect, "adopted", updated.url)
    return updated


async def reconcile(context: StageContext) -> None:
    """After a stop: look up what became of every intent. The next try adopts it, and a withdrawal takes it back."""
    effects = await context.ledger.recorded()
    branch = branch_of(context)
    for repo in context.input.spec.repos:
        forge = context.forge_for(repo.url)
        if f"push:{repo.name}" in effects.unknown:
            head = await forge.branch_head(repo.url, branch)
            await context.ledger.settle(
                f"push:{repo.name}", "done" if head else "refused", head or "not pushed"
            )
        if effect_of(repo) in effects.unknown:
            found = await forge.find(repo.url, branch, _base_branch(context, repo))
            ours = found is not None and is_of_task(found.body, context.request.task_id)
            outcome: Outcome = "adopted" if ours else "refused"
            await context.ledger.settle(
                effect_of(repo), outcome, found.url if found and ours else "not opened"
            )
        for effect in effects_on(repo):
            if effect in effects.unknown:
                await context.ledger.settle(effect, "refused", "not waited for: the next try does it again")


def _base_branch(context: StageContext, repo: RepoSpec) -> str:
    """Name the branch the pull request goes to: the base, or the pull request it is stacked on."""
    stacked = [base for base in context.input.bases if base.repo_url == repo.url]
    return stacked[0].branch if len(stacked) == 1 else repo.base


def _reference(repo: RepoSpec, pull: PullRequest) -> PullRequestRef:
    return PullRequestRef(
        repo=repo.name,
        repo_url=repo.url,
        number=pull.number,
        branch=pull.head,
        base=pull.base,
        commit=pull.head_commit,
        tree=pull.tree,
        url=pull.url,
        draft=pull.draft,
    )
