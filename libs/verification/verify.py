"""Verifies one repository's change from nothing but its two commits."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from libs.verification import checkout, junit
from libs.verification.cache import BaseCache
from libs.verification.checkout import Edit, Tree
from libs.verification.execution import Ran, Workshop, opened, run_plain
from libs.verification.facts import measure
from libs.verification.judge import Judgement, Sides, condense, judge, unusable
from libs.verification.novelty import Novelty, novelty
from libs.verification.paths import Layout, is_permitted
from libs.verification.protection import Protection, protect
from libs.verification.rerun import assure
from libs.verification.side import CachedBase, Done, Runner
from libs.verification.tested import constants
from libs.verification.types import Code, Facts, Keep, Problem, Receipt, Request, Verification

_log = structlog.get_logger(__name__)


async def verify(
    request: Request, mirror: Tree, *, workdir: Path, keep: Keep, base_cache: BaseCache, cookie: str = ""
) -> Verification:
    """Judge a change by running base and change in the sandbox.

    `workdir` is made and is gone afterwards, whatever happens; cancelling kills every process. Raises
    `RequestError` for a request that makes no sense, and what the git broker and the sandbox raise.
    """
    if request.report is not None:
        junit.check_path(request.report)
    async with opened(request.env, request.limits, workdir, cookie) as workshop:
        return await _Verifier(request, mirror, workshop, keep, base_cache).verify()


async def smoke(
    request: Request, command: str, mirror: Tree, *, workdir: Path, keep: Keep, cookie: str = ""
) -> Receipt:
    """Run one command on a fresh checkout of the change; it is judged by its exit code."""
    async with opened(request.env, request.limits, workdir, cookie) as workshop:
        tree_hash = await mirror.tree(request.commit)
        runner = Runner(request, workshop, mirror, keep, "change", request.commit, tree_hash)
        tree = await runner.export()
        layout = Layout([entry.path for entry in await mirror.files(request.commit)])
        setup = await runner.set_up(tree, layout)
        output = workdir / "smoke.log"
        if setup is not None and not setup.succeeded:
            (receipt,) = await runner.receipts(setup, {})
            return receipt
        ran = await run_plain(workshop, command, tree, output)
        return await runner.receipt("smoke", command, ran, output)


class _Verifier:
    def __init__(
        self, request: Request, mirror: Tree, workshop: Workshop, keep: Keep, base_cache: BaseCache
    ) -> None:
        self._request = request
        self._mirror = mirror
        self._workshop = workshop
        self._keep = keep
        self._base_cache = base_cache
        self._commands = [command for _, command in request.commands()]

    async def verify(self) -> Verification:
        request, mirror = self._request, self._mirror
        base_tree, tree = await mirror.tree(request.base_commit), await mirror.tree(request.commit)
        self._trees = base_tree, tree
        changes = await mirror.changes(request.base_commit, request.commit)
        files = [entry.path for entry in await mirror.files(request.base_commit)]
        if not changes:
            return self._verification((_one(Code.EMPTY_CHANGE, "the change changes nothing"),))
        if not request.test and not request.fail_to_pass:
            text = "the task names neither tests nor tests to fix, so nothing could be verified"
            return self._verification((_one(Code.NOTHING_TO_VERIFY, text),))
        named = [*self._commands, *([request.setup] if request.setup else [])]
        base_runner = CachedBase(request, self._workshop, mirror, self._keep, base_tree, self._base_cache)
        base = await base_runner.done(Layout(files, named))
        layout = Layout(files, named, _collected(base))
        protection = await self._protect(layout, changes, base)
        facts = await self._facts(layout, changes, protection, base)
        static = [*protection.problems, *facts.evasions]
        if not base.ready:
            return self._verification([*static, *unusable(request, base.setup, base.ran)], base, facts=facts)
        runner = Runner(request, self._workshop, mirror, self._keep, "change", request.commit, tree)
        prepared, setup = await self._prepare(runner, layout, protection)
        static += self._setup_problems(base, setup)
        if setup is not None and not setup.succeeded:
            change = Done(setup=setup, ran={}, receipts=await runner.receipts(setup, {}))
            return self._verification(static, base, change, facts=facts)
        ran = await runner.run_all(prepared, layout, self._commands)
        judgement = judge(request, await self._sides(layout, base, ran))
        if not static and not judgement.problems:
            new = await self._novelty(layout, changes, prepared)
            static += await assure(
                request, self._workshop, base_runner, runner, layout, prepared, base, ran, new
            )
        change = Done(setup=setup, ran=ran, receipts=await runner.receipts(setup, ran))
        diff = await self._keep(
            "verify/change.diff", await mirror.diff(request.base_commit, request.commit), "text/x-diff"
        )
        whole = self._verification(
            [*static, *judgement.problems], base, change, facts=facts, judgement=judgement
        )
        _log.info("verified", repo=request.repo, commit=request.commit, problems=len(whole.problems))
        return msgspec.structs.replace(whole, diff=diff)

    async def _contents(self, path: str) -> tuple[bytes | None, bytes | None]:
        request = self._request
        return (
            await self._mirror.blob(request.base_commit, path),
            await self._mirror.blob(request.commit, path),
        )

    async def _novelty(self, layout: Layout, changes: Sequence[Edit], prepared: Path) -> Novelty:
        changed = {
            change.path: await self._contents(change.path)
            for change in changes
            if change.path.endswith(".py") and not layout.is_test(change.path)
        }
        python = [path for path in layout.files if path.endswith(".py")]
        return await asyncio.to_thread(_read_novelty, changed, python, layout, prepared)

    async def _protect(self, layout: Layout, changes: Sequence[Edit], base: Done) -> Protection:
        reports = [ran.report for ran in base.ran.values()]
        return await protect(
            layout,
            changes,
            self._request.may_change_tests,
            self._contents,
            search_path={place for report in reports for place in report.search_path},
            outside_modules={name for report in reports for name, path in report.modules.items() if not path},
        )

    async def _facts(
        self, layout: Layout, changes: Sequence[Edit], protection: Protection, base: Done
    ) -> Facts:
        touched = [*protection.restore, *protection.remove]
        names: set[str] = set()
        for ran in base.ran.values():
            for test in ran.report.tests:
                file, *rest = test.id.partition("[")[0].split("::")
                names |= {file, file.rpartition("/")[2], *rest[-1:]} - {""}
        names = {name for name in names if "test" in name.lower()}
        permitted = self._request.may_change_tests
        judging = [base.ran[command] for command in self._request.fail_to_pass if command in base.ran]
        # A report of another runner may name anything in the place of a file.
        files = {test.id.partition("::")[0] for ran in judging for test in ran.report.tests} & layout.files
        tested = constants(
            [await self._mirror.blob(self._request.base_commit, path) for path in sorted(files)]
        )
        return await measure(changes, layout, touched, self._contents, names, permitted, tested)

    async def _prepare(
        self, runner: Runner, layout: Layout, protection: Protection
    ) -> tuple[Path, Ran | None]:
        """Check the change out, bring back what judges it, and set it up."""
        tree = await runner.export()
        if protection.restore or protection.remove:
            base = self._workshop.fresh("original")
            await self._mirror.export(self._request.base_commit, base)
            await asyncio.to_thread(checkout.bring_back, tree, base, protection.restore, protection.remove)
            await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)
        return tree, await runner.set_up(tree, layout)

    def _setup_problems(self, base: Done, setup: Ran | None) -> list[Problem]:
        if setup is None:
            return []
        if not setup.succeeded:
            how = (
                f"exits with {setup.exit_code}" if setup.ended == "exited" else f"was stopped: {setup.ended}"
            )
            return [_one(Code.COMMAND_FAILED, f"the set-up `{setup.command}` {how} on the change")]
        earlier = set(base.setup.touched) if base.setup is not None else set()
        return [
            _one(Code.SETUP_TAMPERED, f"the set-up leaves {path} other than it does on the base")
            for path in setup.touched
            if path not in earlier and not is_permitted(path, self._request.may_change_tests)
        ]

    async def _sides(self, layout: Layout, base: Done, ran: dict[str, Ran]) -> Sides:
        permitted = self._request.may_change_tests
        return Sides(
            base=base.ran,
            base_files=layout.files,
            change=ran,
            change_files=frozenset(entry.path for entry in await self._mirror.files(self._request.commit)),
            kept=lambda path: (
                not is_permitted(path, permitted) and (layout.is_protected(path) or path not in layout.files)
            ),
            free=lambda path: is_permitted(path, permitted),
        )

    def _verification(
        self,
        problems: Sequence[Problem],
        base: Done | None = None,
        change: Done | None = None,
        *,
        facts: Facts | None = None,
        judgement: Judgement | None = None,
    ) -> Verification:
        seen = judgement or Judgement(problems=())
        return Verification(
            repo=self._request.repo,
            base_commit=self._request.base_commit,
            base_tree=self._trees[0],
            commit=self._request.commit,
            tree=self._trees[1],
            environment=self._workshop.surroundings.digest,
            commands=(*(base.receipts if base else ()), *(change.receipts if change else ())),
            fail_to_pass_passed=seen.fail_to_pass_passed,
            fail_to_pass_selected=seen.fail_to_pass_selected,
            base_tests=seen.base_tests,
            base_tests_held=seen.base_tests_held,
            facts=facts or Facts(),
            problems=condense(problems),
        )


def _read_novelty(
    changed: dict[str, tuple[bytes | None, bytes | None]], python: Sequence[str], layout: Layout, tree: Path
) -> Novelty:
    # The tree holds the base's own tests: they were brought back, whatever the change did to them.
    files = [path for path in python if (tree / path).is_file()]
    return novelty(
        changed,
        {path: (tree / path).read_bytes() for path in files if layout.is_test(path)},
        lambda: ((tree / path).read_bytes() for path in files if path not in changed),
    )


def _one(code: Code, detail: str) -> Problem:
    return Problem(code=code, detail=f"{detail}.")


def _collected(base: Done) -> set[str]:
    """List the files that hold tests, whatever they are called; a module with a doctest is still product."""
    return {
        file
        for ran in base.ran.values()
        for test in ran.report.tests
        for file in (test.file, test.id.partition("::")[0])
        if file and not (test.kind == "doctest" and file.endswith(".py"))
    }
