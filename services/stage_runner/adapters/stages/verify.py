"""Stage `verify`: hands the commits to the verifier and reports what it measured; judging it is the gates' business."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from contracts.receipt import CommandReceipt, EvidenceRef, RepoVerification
from contracts.stage import StageOutput
from contracts.task import RepoSpec
from libs.git.error import GitError
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.verification.cache import BaseCache
from libs.verification.types import Evidence, Keep, Limits, Receipt, Request, Verification, VerificationError
from libs.verification.verify import verify
from services.stage_runner.adapters.places import VERIFYING
from services.stage_runner.adapters.stages.context import StageContext, fail, git_failure

#: `verify`, or `baseline` of a base alone.
Measure: TypeAlias = Callable[..., Awaitable[Verification]]
#: Findings of one kind, and files, that an event lists. Gates reject long before either is reached.
MAX_LISTED, MAX_FILES = 100, 2_000


async def carry(context: StageContext) -> StageOutput:
    """Verify every repository's change."""
    changes = {change.repo: change for change in context.input.changes}
    seen: list[RepoVerification] = []
    for repo in context.input.spec.repos:
        change = changes.get(repo.name)
        if change is None:
            fail("impossible", "no_change", f"there is no change to verify for {repo.name}", repo.name)
        seen.append(await measured(context, repo, verify, change.base_commit, change.commit))
    for one in seen:
        text = msgspec.json.format(msgspec.json.encode(one))
        await context.keep(f"{one.repo}/receipts.json", text, "application/json")
    return StageOutput(verifications=tuple(map(bounded, seen)))


async def measured(
    context: StageContext, repo: RepoSpec, measure: Measure, base: str, commit: str
) -> RepoVerification:
    """Have the verifier measure a commit beside its base. Raises StageError where something keeps it from its work."""
    with _verifying(repo.name):
        made = await measure(
            request_for(context, repo, base, commit),
            await context.mirror(repo),
            workdir=context.directory / repo.name,
            keep=keeper(context, repo),
            base_cache=BaseCache(context.cache_dir),
            cookie=context.cookie,
        )
    return msgspec.convert(made, RepoVerification, from_attributes=True)


@contextmanager
def _verifying(repo: str) -> Iterator[None]:
    """Make the stage's failure of what keeps the verifier from its work."""
    try:
        yield
    except VerificationError as error:
        fail("impossible", "not_verifiable", f"{repo}: {error}", repo)
    except SandboxUnavailableError as error:
        fail("environmental", "no_sandbox", str(error), repo)
    except SandboxError as error:
        fail("transient", "sandbox_failed", str(error), repo)
    except GitError as error:
        raise git_failure(error, "checkout_failed", repo) from error


def bounded(seen: RepoVerification) -> RepoVerification:
    """Keep an event small however much was found: the receipts in the evidence hold everything."""
    facts = msgspec.structs.replace(
        seen.facts,
        placeholders=tuple(place[:300] for place in seen.facts.placeholders[:MAX_LISTED]),
        special_cases=tuple(place[:300] for place in seen.facts.special_cases[:MAX_LISTED]),
        public_removed=tuple(name[:300] for name in seen.facts.public_removed[:MAX_LISTED]),
        protected_touched=seen.facts.protected_touched[:MAX_LISTED],
        tests_added=seen.facts.tests_added[:MAX_LISTED],
        evasions=seen.facts.evasions[:MAX_LISTED],
        files=seen.facts.files[:MAX_FILES],
    )
    return msgspec.structs.replace(seen, facts=facts, problems=seen.problems[:MAX_LISTED])


def request_for(context: StageContext, repo: RepoSpec, base: str, commit: str) -> Request:
    """Say to the verifier what a repository's part of a task asks for."""
    budget = context.input.spec.budget
    return Request(
        repo=repo.name,
        repo_key=context.broker.repo_key(repo.url),
        base_commit=base,
        commit=commit,
        setup=repo.setup or None,
        build=repo.verify.build,
        test=repo.verify.test,
        audit=repo.verify.audit,
        fail_to_pass=repo.fail_to_pass,
        known_failures=repo.known_failures,
        env=repo.env,
        may_change_tests=repo.may_change_tests,
        report=repo.report,
        limits=Limits(wall_s=budget.wall_s, memory_mb=budget.memory_mb, parallel=VERIFYING),
    )


def keeper(context: StageContext, repo: RepoSpec) -> Keep:
    """Build the function by which the verifier stores evidence."""

    async def keep(name: str, content: Path | bytes, media_type: str) -> Evidence:
        kept: EvidenceRef = await context.keep(f"{repo.name}/{name}", content, media_type)
        return Evidence(digest=kept.digest, name=kept.name, media_type=kept.media_type, size=kept.size)

    return keep


def receipt_of(receipt: Receipt) -> CommandReceipt:
    """Bring a receipt of the verifier into the language of the house."""
    return msgspec.convert(receipt, CommandReceipt, from_attributes=True)
