"""Looks at a base by itself, before there is a change: every command once, and whether the task can be done at all."""

from __future__ import annotations

from pathlib import Path

import structlog

from libs.verification import junit
from libs.verification.cache import BaseCache
from libs.verification.checkout import Tree
from libs.verification.execution import opened
from libs.verification.judge import condense, unusable
from libs.verification.paths import Layout
from libs.verification.side import CachedBase
from libs.verification.types import Facts, Keep, Request, Verification

_log = structlog.get_logger(__name__)


async def baseline(
    request: Request, mirror: Tree, *, workdir: Path, keep: Keep, base_cache: BaseCache, cookie: str = ""
) -> Verification:
    """Run on the base what the cache does not hold yet, so that later verifications find it there.

    The result is that of a change that changes nothing: its problems are those which no change can mend. `workdir` is
    made and is gone afterwards. Raises what `verify` raises.
    """
    if request.report is not None:
        junit.check_path(request.report)
    commit = request.base_commit
    async with opened(request.env, request.limits, workdir, cookie) as workshop:
        tree = await mirror.tree(commit)
        named = [*(command for _, command in request.commands()), *([request.setup] if request.setup else [])]
        layout = Layout([entry.path for entry in await mirror.files(commit)], named)
        done = await CachedBase(request, workshop, mirror, keep, tree, base_cache).done(layout)
        problems = condense(list(unusable(request, done.setup, done.ran)))
        if done.setup is not None and done.setup.ended == "memory":
            # The receipt tells; a higher ceiling mends it, so it is no fault of the base.
            problems = ()
        _log.info("base_seen", repo=request.repo, commit=commit, problems=len(problems))
        return Verification(
            repo=request.repo,
            base_commit=commit,
            base_tree=tree,
            commit=commit,
            tree=tree,
            environment=workshop.surroundings.digest,
            commands=done.receipts,
            fail_to_pass_passed=0,
            fail_to_pass_selected=0,
            base_tests=0,
            base_tests_held=0,
            facts=Facts(),
            problems=problems,
        )
