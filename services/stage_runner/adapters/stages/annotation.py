"""What is useful on a pull request but proves nothing: a label, a check beside the commit, and what people answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from contracts.stage import EffectKind
from contracts.task import RepoChange, RepoSpec
from libs.forge.error import ForgeError, ForgeUnavailableError
from libs.forge.port import PullRequest
from services.stage_runner.adapters.stages.context import StageContext, forge_failure
from services.stage_runner.adapters.stages.description import check_for

log = structlog.get_logger(__name__)

LABEL = "autopilot"
#: Retries of a run in which annotations are tried again; later ones leave them out rather than fail the task.
RETRIES = 2


def effects_on(repo: RepoSpec) -> tuple[str, str]:
    """Name the effects: of the label, and of the check."""
    return f"label:{repo.name}", f"check:{repo.name}"


async def annotate(context: StageContext, repo: RepoSpec, change: RepoChange, pull: PullRequest) -> None:
    """Label the pull request and publish the verdict, where the forge keeps such things.

    A forge that refuses for good costs the annotation, not the task: the pull request is open.
    """
    annotator = context.forge_for(repo.url).annotator(repo.url)
    if annotator is None:
        return
    check = check_for(context.input, context.request.run_id, repo, change)
    check = msgspec.structs.replace(
        check, title=context.redacted(check.title), summary=context.redacted(check.summary)
    )

    async def label() -> tuple[str, bool]:
        return LABEL, await annotator.label(repo.url, pull.number, LABEL)

    async def publish() -> tuple[str, bool]:
        return await annotator.check(repo.url, check)

    labelled, checked = effects_on(repo)
    await _carry(context, repo, labelled, "label", pull.url, label)
    await _carry(context, repo, checked, "publish_check", change.commit, publish)


async def keep_comments(context: StageContext, repo: RepoSpec, number: int) -> None:
    """Keep what people wrote to a pull request as evidence; it is text of outsiders and steers nothing."""
    annotator = context.forge_for(repo.url).annotator(repo.url)
    comments = await annotator.comments(repo.url, number) if annotator is not None else ()
    if comments:
        text = msgspec.json.format(msgspec.json.encode(comments), indent=1)
        await context.keep(f"{repo.name}-comments.json", text, "application/json")


async def _carry(
    context: StageContext,
    repo: RepoSpec,
    effect: str,
    kind: EffectKind,
    detail: str,
    act: Callable[[], Awaitable[tuple[str, bool]]],
) -> None:
    await context.ledger.intend(effect, kind, repo.url, detail)
    try:
        reference, made = await act()
    except ForgeError as error:
        transient = isinstance(error, ForgeUnavailableError) and error.transient
        if transient and context.request.retry < RETRIES:
            raise forge_failure(error, repo.name) from error
        log.warning("annotation_left_out", effect=effect, error=str(error))
        await context.ledger.settle(effect, "refused", str(error))
        return
    await context.ledger.settle(effect, "done" if made else "adopted", reference)
