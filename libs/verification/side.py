"""Carries a commit's commands out: one tree, set up once, and a copy of it for each command."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from libs.sandbox.command import Ended
from libs.verification import cache, checkout
from libs.verification.checkout import Tree
from libs.verification.environment import surround
from libs.verification.execution import Ran, Workshop, run_observed, run_plain, together, with_touched
from libs.verification.paths import Layout
from libs.verification.types import Keep, Limits, Purpose, Receipt, Request, Side

#: Where a ceiling was too low on the base: how many times it, and how many MB at least, a second look may take.
GENEROUS, GENEROUS_MB = 8, 1_024
#: What a shell makes of a process that was ended by SIGKILL.
KILLED = 128 + 9
_OBSERVED = frozenset(("test", "fail_to_pass"))


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What one side's commands showed, and their receipts."""

    setup: Ran | None
    ran: dict[str, Ran]
    receipts: tuple[Receipt, ...]

    @property
    def ready(self) -> bool:
        """Tell whether the set-up worked, so that the commands were run at all."""
        return self.setup is None or self.setup.succeeded


class Runner:
    """Runs one request's commands on one commit."""

    def __init__(
        self,
        request: Request,
        workshop: Workshop,
        mirror: Tree,
        keep: Keep,
        side: Side,
        commit: str,
        tree: str,
    ) -> None:
        self._request = request
        self._workshop = workshop
        self._mirror = mirror
        self._keep = keep
        self._side = side
        self._commit = commit
        self._tree_hash = tree

    async def export(self) -> Path:
        """Check the commit out fresh."""
        path = self._workshop.fresh(self._side)
        await self._mirror.export(self._commit, path)
        return path

    async def set_up(self, tree: Path, layout: Layout) -> Ran | None:
        """Run the task's set-up in the tree; None if there is none."""
        if not self._request.setup:
            return None
        before = await asyncio.to_thread(checkout.snapshot, tree, layout)
        ran = await run_plain(self._workshop, self._request.setup, tree, self._output("setup"))
        return with_touched(ran, before, await asyncio.to_thread(checkout.snapshot, tree, layout))

    async def run_all(self, tree: Path, layout: Layout, commands: Iterable[str]) -> dict[str, Ran]:
        """Run the commands at once, each in a copy of the tree."""
        wanted = list(dict.fromkeys(commands))
        results = await together([self._run(tree, layout, command) for command in wanted])
        return dict(zip(wanted, results, strict=True))

    async def _run(self, tree: Path, layout: Layout, command: str) -> Ran:
        return await self._ran(self._workshop, tree, layout, command)

    async def _ran(self, workshop: Workshop, tree: Path, layout: Layout, command: str) -> Ran:
        own = workshop.fresh("copy")
        try:
            await asyncio.to_thread(checkout.copy, tree, own)
            before = await asyncio.to_thread(checkout.snapshot, own, layout)
            if self._is_observed(command):
                ran = await run_observed(workshop, command, own, self._output(command), self._request.report)
            else:
                ran = await run_plain(workshop, command, own, self._output(command))
            return with_touched(ran, before, await asyncio.to_thread(checkout.snapshot, own, layout))
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, own, ignore_errors=True))

    def _is_observed(self, command: str) -> bool:
        return any(purpose in _OBSERVED and one == command for purpose, one in self._request.commands())

    def _output(self, command: str) -> Path:
        number = [self._request.setup or "", *(one for _, one in self._request.commands())].index(
            (self._request.setup or "") if command == "setup" else command
        )
        return self._workshop.workdir / f"{self._side}-{number}.log"

    async def receipts(self, setup: Ran | None, ran: dict[str, Ran]) -> tuple[Receipt, ...]:
        """Store what was printed and reported, and sign for it."""
        made: list[Receipt] = []
        named: list[tuple[Purpose, str, Ran, Path]] = []
        if setup is not None:
            named.append(("setup", setup.command, setup, self._output("setup")))
        for purpose, command in self._request.commands():
            if command in ran:
                named.append((purpose, command, ran[command], self._output(command)))
        for purpose, command, result, output in named:
            made.append(await self.receipt(purpose, command, result, output))
        return tuple(made)

    async def receipt(self, purpose: Purpose, command: str, ran: Ran, output: Path) -> Receipt:
        """Store what one command printed and reported, and sign for it."""
        name = f"verify/{self._side}/{purpose}"
        text = await self._keep(f"{name}.log", output, "text/plain") if output.exists() else None
        report = None
        if purpose in _OBSERVED:
            content = msgspec.json.encode(ran.report)
            report = await self._keep(f"{name}.json", content, "application/json")
        return Receipt(
            purpose=purpose,
            command=command,
            side=self._side,
            tree=self._tree_hash,
            exit_code=ran.exit_code,
            ended=ran.ended,
            duration_s=ran.duration_s,
            cpu_s=ran.cpu_s,
            peak_memory_mb=ran.peak_memory_mb,
            output=text,
            report=report,
            collected=len(ran.report.tests),
            passed=ran.report.count("passed", "xpassed"),
            failed=ran.report.count("failed", "error", "unknown", "hidden"),
            skipped=ran.report.count("skipped", "xfailed"),
            cached=ran.cached,
        )


class CachedBase(Runner):
    """Runs on the base only what no earlier verification has run under the same conditions."""

    def __init__(
        self,
        request: Request,
        workshop: Workshop,
        mirror: Tree,
        keep: Keep,
        tree: str,
        store: cache.BaseCache,
    ) -> None:
        super().__init__(request, workshop, mirror, keep, "base", request.base_commit, tree)
        self._store = store

    async def done(self, layout: Layout) -> Done:
        """Give the base's results, from the cache as far as they are there."""
        commands = tuple(dict.fromkeys(command for _, command in self._request.commands()))
        async with self._store.turn(self._identity("", "all")):
            setup, found = await asyncio.to_thread(self._find, commands)
            missing = [command for command in commands if command not in found]
            if missing or (self._request.setup and setup is None):
                setup, fresh = await self._fill(layout, missing, setup)
                found |= fresh
        receipts = await self.receipts(setup, found)
        return Done(setup=setup, ran=found, receipts=receipts)

    def _find(self, commands: Sequence[str]) -> tuple[Ran | None, dict[str, Ran]]:
        found: dict[str, Ran] = {}
        for command in commands:
            ran = self._store.find(self._identity(command, self._kind(command)), self._output(command))
            if ran is not None:
                found[command] = ran
        setup = None
        if self._request.setup:
            setup = self._store.find(self._identity(self._request.setup, "setup"), self._output("setup"))
        return setup, found

    async def _fill(
        self, layout: Layout, missing: Collection[str], earlier: Ran | None
    ) -> tuple[Ran | None, dict[str, Ran]]:
        tree = await self.export()
        setup = await self.set_up(tree, layout)
        if setup is not None and not setup.succeeded:
            return setup, {}
        fresh = await self.run_all(tree, layout, missing)
        if await asyncio.to_thread(surround, self._request.env) == self._workshop.surroundings:
            if setup is not None and earlier is None:
                await self._store_one(self._request.setup or "", "setup", setup, self._output("setup"))
            for command, ran in fresh.items():
                if self._may_keep(command, ran):
                    await self._store_one(command, self._kind(command), ran, self._output(command))
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
        return setup, fresh

    def _may_keep(self, command: str, ran: Ran) -> bool:
        """Keep what ended by itself; a limit may have been reached because the machine was busy.

        Except for tests that must fail: reaching the limit is how some of them fail. What was killed was so from outside,
        by the kernel for want of memory for example.
        """
        return ran.exit_code != KILLED and (ran.ended == "exited" or self._must_fail(command))

    async def _run(self, tree: Path, layout: Layout, command: str) -> Ran:
        """Run a command; of one that its ceiling has stopped, find out with a higher one what it takes.

        What must fail on the base may fail by that, and is not looked at again.
        """
        ran = await super()._run(tree, layout, command)
        if ran.ended != Ended.MEMORY or self._must_fail(command):
            return ran
        ceiling = max(GENEROUS_MB, GENEROUS * self._request.limits.memory_mb)
        limits = msgspec.structs.replace(self._workshop.limits, memory_mb=ceiling)
        workshop = msgspec.structs.replace(self._workshop, limits=limits)
        again = await self._ran(workshop, tree, layout, command)
        return msgspec.structs.replace(ran, peak_memory_mb=again.peak_memory_mb)

    def _must_fail(self, command: str) -> bool:
        return all(purpose == "fail_to_pass" for purpose, one in self._request.commands() if one == command)

    async def _store_one(self, command: str, kind: str, ran: Ran, output: Path) -> None:
        await asyncio.to_thread(self._store.keep, self._identity(command, kind), ran, output)

    def _kind(self, command: str) -> str:
        return "observed" if self._is_observed(command) else "plain"

    def _identity(self, command: str, kind: str) -> cache.Identity:
        limits = self._request.limits
        return cache.Identity(
            repo_key=self._request.repo_key,
            commit=self._request.base_commit,
            command=command,
            setup=self._request.setup,
            environment=self._workshop.surroundings.digest,
            limits=Limits(wall_s=limits.wall_s, memory_mb=limits.memory_mb),
            report=self._request.report if kind == "observed" else None,
            kind=kind,
        )
