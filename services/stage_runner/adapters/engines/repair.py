"""Engine `repair`: a search for a small edit that lets the failing tests pass; needs no model and no key."""

from __future__ import annotations

import msgspec
import structlog

from contracts.receipt import Problem
from contracts.task import RepoSpec
from libs.git.tree import TreeEntry, tree_with
from libs.repair import account
from libs.repair.change import Change
from libs.repair.repair import Found, NotFailingError, Settings
from libs.repair.repair import repair as search
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.verification.paths import is_permitted
from libs.verification.types import VerificationError
from services.stage_runner.adapters.engines.engine import Edit, Engine, Intent, Site
from services.stage_runner.adapters.engines.policy import policy_of
from services.stage_runner.adapters.places import SEARCHING
from services.stage_runner.adapters.stages.context import StageContext, fail
from services.stage_runner.adapters.stages.verify import request_for

#: Seconds that a search may take, and its share of what the task may: the verifier needs the rest.
_MOST_S, _SHARE = 180.0, 0.6
#: Characters of one finding.
_SAID = 500

_log = structlog.get_logger(__name__)


async def _intend(context: StageContext, repo: RepoSpec, base: str) -> Intent:
    policy = await policy_of(await context.mirror(repo), base, repo.name)
    within = policy.change.within
    return Intent(scope=("*.py",) if within == ("*",) else within)


async def _edit(context: StageContext, repo: RepoSpec, site: Site) -> Edit:
    delta = context.input.delta
    avoid = frozenset(delta.avoid) if delta else frozenset()
    found = await _found(context, repo, site, avoid)
    content = msgspec.json.format(msgspec.json.encode(account.log(found)))
    await context.keep(f"{repo.name}/search.json", content, "application/json")
    if not found.survivors:
        _nothing(repo, found, bool(avoid))
    chosen = found.survivors[0]
    for path, text in chosen.change.files.items():
        (site.worktree.path / path).write_bytes(text.encode())
    _log.info("repair_found", repo=repo.name, change=chosen.change.description, tried=len(found.tried))
    return Edit(remarks=account.remarks(found, chosen))


async def _found(context: StageContext, repo: RepoSpec, site: Site, avoid: frozenset[str]) -> Found:
    entries = await site.mirror.files(site.base)
    policy = await policy_of(site.mirror, site.base, repo.name)
    within = policy.change.within
    try:
        return await search(
            request_for(context, repo, site.base, site.base),
            site.mirror,
            workdir=context.directory / f"{repo.name}.repair",
            cookie=context.cookie,
            settings=Settings(
                budget_s=min(_MOST_S, _SHARE * context.input.spec.budget.wall_s),
                workers=SEARCHING,
            ),
            permitted=lambda path: is_permitted(path, within),
            refused=lambda change: bool(avoid) and tree_of(entries, change) in avoid,
        )
    except NotFailingError as error:
        fail("impossible", "not_failing_on_base", f"{repo.name}: {error}", repo.name)
    except VerificationError as error:
        fail("impossible", "not_repairable", f"{repo.name}: {error}", repo.name)
    except SandboxUnavailableError as error:
        fail("environmental", "no_sandbox", str(error), repo.name)
    except SandboxError as error:
        fail("transient", "sandbox_failed", str(error), repo.name)


def tree_of(entries: list[TreeEntry], change: Change) -> str:
    """Name the tree that a change makes of the base, as a delta names those that failed."""
    return tree_with(entries, {path: text.encode() for path, text in change.files.items()})


def _nothing(repo: RepoSpec, found: Found, again: bool) -> None:
    """End the stage honestly: what is suspected, and what came near."""
    findings = [
        *(Problem(code="suspicious_place", detail=text[:_SAID]) for text in account.suspicious(found)),
        *(Problem(code="partial_candidate", detail=text[:_SAID]) for text in account.partial(found)),
    ]
    other = "other than those that failed before " if again else ""
    fail(
        "impossible",
        "no_repair_found",
        f"none of {len(found.tried)} small edits {other}lets the failing tests of {repo.name} pass "
        f"(searched for {found.seconds:.0f} s); the findings list the suspicious places and what came nearest",
        repo.name,
        tuple(findings),
    )


repair = Engine(
    approach="search for a small edit that lets the failing tests pass", intend=_intend, edit=_edit
)
