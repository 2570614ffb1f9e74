"""The withdrawal: what a cancelled task has published is taken back, and what stays is told.

Which pull requests there may be is in the ledger of the task's runs of `pr`: nothing is opened that was not intended there.
A branch stays. Somebody may have built on it, pull requests of other tasks among them, which a forge closes with the
branch that they go to; and a person's retry goes on from it.
"""

from __future__ import annotations

import asyncio

from contracts.stage import StageOutput
from contracts.task import RepoSpec
from libs.forge.error import ForgeError, ForgeUnavailableError
from services.stage_runner.adapters.stages.context import StageContext
from services.stage_runner.adapters.stages.description import is_of_task
from services.stage_runner.adapters.stages.pr import branch_of, effect_of

#: Seconds after which a forge that is away is asked again, one after the other; then a person has to look.
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


async def carry(context: StageContext) -> StageOutput:
    """Close what the task has opened in every repository, and tell what is left."""
    told = [line for repo in context.input.spec.repos for line in await _patiently(context, repo)]
    return StageOutput(left=tuple(told))


async def _patiently(context: StageContext, repo: RepoSpec) -> list[str]:
    for pause_s in (*PAUSES_S, None):
        try:
            return await _withdrawn(context, repo)
        except ForgeError as error:
            passing = isinstance(error, ForgeUnavailableError) and error.transient
            if passing and pause_s is not None:
                await asyncio.sleep(pause_s)
                continue
            if effect_of(repo) in (await context.ledger.recorded()).unknown:
                await context.ledger.settle(effect_of(repo), "refused", str(error))
            return [f"{repo.name}: what is open from {branch_of(context)} could not be closed: {error}"]
    raise AssertionError("the last try returns")


async def _withdrawn(context: StageContext, repo: RepoSpec) -> list[str]:
    """Close the task's open pull requests in a repository. Raises ForgeError."""
    forge, branch, effect = context.forge_for(repo.url), branch_of(context), effect_of(repo)
    left: list[str] = []
    for detail in await context.ledger.meant(effect):
        found = await forge.find(repo.url, branch, detail.rpartition(" -> ")[2])
        if found is None:
            continue
        if not is_of_task(found.body, context.request.task_id):
            left.append(f"{found.url} is somebody else's and stays open")
            continue
        await context.ledger.intend(effect, "close_pull_request", repo.url, found.url)
        await forge.close(repo.url, found.number)
        await context.ledger.settle(effect, "reverted", found.url)
    if effect in (await context.ledger.recorded()).unknown:
        # Of a holder that died when it had closed it.
        await context.ledger.settle(effect, "reverted", branch)
    for pull in context.input.pull_requests:
        if pull.repo == repo.name and (await forge.get(repo.url, pull.number)).state == "merged":
            left.append(f"{pull.url} has been merged")
    if await context.ledger.meant(f"push:{repo.name}") and (
        head := await forge.branch_head(repo.url, branch)
    ):
        left.append(f"branch {branch} of {repo.name} stays at {head[:12]}")
    return left
