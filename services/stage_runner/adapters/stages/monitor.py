"""Stage `monitor`: one probe of an open pull request: it still holds the verified tree, and its smoke command exits 0."""

from __future__ import annotations

from contracts.receipt import CommandReceipt
from contracts.stage import StageOutput
from contracts.task import Failure, PullRequestRef, RepoSpec
from libs.forge.error import ForgeError
from libs.git.error import GitError
from libs.sandbox.errors import SandboxError
from libs.verification.verify import smoke
from services.stage_runner.adapters.stages.annotation import keep_comments
from services.stage_runner.adapters.stages.context import (
    StageContext,
    StageError,
    fail,
    forge_failure,
    git_failure,
)
from services.stage_runner.adapters.stages.verify import keeper, receipt_of, request_for


async def carry(context: StageContext) -> StageOutput:
    """Probe every pull request once."""
    pulls = {pull.repo: pull for pull in context.input.pull_requests}
    probes: list[CommandReceipt] = []
    for repo in context.input.spec.repos:
        pull = pulls.get(repo.name)
        if pull is None:
            fail(
                "impossible",
                "no_pull_request",
                f"there is no pull request to watch for {repo.name}",
                repo.name,
            )
        commit = await _published(context, repo, pull)
        if repo.monitor.smoke:
            probes.append(await _smoke(context, repo, repo.monitor.smoke, commit))
    output = StageOutput(probes=tuple(probes))
    for probe in probes:
        if probe.exit_code != 0:
            detail = f"the smoke command {probe.command!r} ended with {probe.exit_code if probe.exit_code is not None else probe.ended}"
            raise StageError(Failure(kind="persistent", code="smoke_failed", detail=detail), output)
    return output


async def _published(context: StageContext, repo: RepoSpec, pull: PullRequestRef) -> str:
    """Fetch what the forge really has under the pull request, and insist that it is what was verified."""
    try:
        forge = context.forge_for(repo.url)
        present = await forge.get(repo.url, pull.number)
        mirror = await context.mirror(repo)
        source = await forge.remote(repo.url)
        commit = await mirror.fetch_commit(source, f"refs/pull/{pull.number}/head")
        tree = await mirror.tree(commit)
        await keep_comments(context, repo, pull.number)
    except ForgeError as error:
        raise forge_failure(error, repo.name) from error
    except GitError as error:
        raise git_failure(error, "pull_request_unreadable", repo.name) from error
    if tree != pull.tree or present.state == "closed":
        state = (
            "was closed"
            if present.state == "closed"
            else f"holds tree {tree[:12]}, verified was {pull.tree[:12]}"
        )
        fail(
            "persistent",
            "pull_request_changed",
            f"pull request {pull.number} of {repo.name} {state}",
            repo.name,
        )
    return commit


async def _smoke(context: StageContext, repo: RepoSpec, command: str, commit: str) -> CommandReceipt:
    mirror = await context.mirror(repo)
    try:
        receipt = await smoke(
            request_for(context, repo, commit, commit),
            command,
            mirror,
            workdir=context.directory / repo.name,
            keep=keeper(context, repo),
            cookie=context.cookie,
        )
    except SandboxError as error:
        fail("transient", "sandbox_failed", str(error), repo.name)
    return receipt_of(receipt)
