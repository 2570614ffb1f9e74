"""The draw: which mutants, in which order, and which of them become cases."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from libs.verification.paths import Layout
from loadtest.case import Case
from loadtest.mutants import casefile
from loadtest.mutants.origin import Origin
from loadtest.mutants.repo import MutationRepo
from loadtest.mutants.tool import Mutant, MutationTool
from loadtest.mutants.trial import Trial, attempt


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate, and what became of it: a case, or the reason why there is none."""

    repo: str
    mutant: Mutant
    case: str | None = None
    skipped: str | None = None


def shares(repos: Iterable[str], count: int) -> dict[str, int]:
    """Spread a number of cases evenly; the first by name get what is left over."""
    names = sorted(repos)
    each, rest = divmod(count, len(names))
    return {name: each + (place < rest) for place, name in enumerate(names)}


def drawing_order(seed: int, repo: str, mutants: Iterable[Mutant]) -> list[Mutant]:
    """Put mutants into the order in which a seed draws them: uniform, whatever order they come in.

    By a digest, since a generator of random numbers may shuffle otherwise in the next Python.
    """

    def ticket(mutant: Mutant) -> bytes:
        return hashlib.sha256(msgspec.json.encode((seed, repo, mutant))).digest()

    return sorted(mutants, key=ticket)


class Draw:
    """Draws from one repository."""

    def __init__(
        self, origin: Origin, source: Path, scratch: Path, out: Path, tool: MutationTool, tools: Path
    ) -> None:
        self._origin, self._scratch, self._out, self._tool, self._tools = origin, scratch, out, tool, tools
        self._repo = MutationRepo(source, scratch)
        self._base = self._repo.tree_of(origin.base_commit)
        #: Trees that were tried.
        self._trees = {self._base}
        self._checkouts = 0
        #: How many mutants the tool offers.
        self.offered = 0

    async def cases(self, seed: int, quota: int) -> list[Drawn]:
        """Draw until enough candidates became cases, or none is left. Raises SystemExit where the base is no good."""
        base = self._check_out(self._base)
        mutants = self._tool.mutants(base, self._product(), self._scratch)
        self.offered = len(mutants)
        whole = await self._suite(base, self._origin.known_failures)
        if not whole.passed or whole.hangs:
            raise SystemExit(f"{self._origin.repo}: its suite does not work at {self._origin.base_commit}")
        known = (*self._origin.known_failures, *whole.failed)
        record: list[Drawn] = []
        made = 0
        for mutant in drawing_order(seed, self._origin.repo, mutants):
            if made == quota:
                break
            name = f"mutant-{self._origin.repo.rpartition('/')[2]}-{made + 1}"
            skipped = await self._try(name, mutant, whole.passed, known)
            made += skipped is None
            record.append(
                Drawn(
                    repo=self._origin.repo,
                    mutant=mutant,
                    case=name if skipped is None else None,
                    skipped=skipped,
                )
            )
            print(f"{self._origin.repo} {mutant}: {skipped or name}", file=sys.stderr)
        return record

    def _product(self) -> list[str]:
        """List the Python files that a change may edit: what judges a change is no place for a bug."""
        files = self._repo.files(self._base)
        layout = Layout(files, [self._origin.pass_to_pass_command])
        return [path for path in files if path.endswith(".py") and not layout.is_protected(path)]

    async def _try(
        self, name: str, mutant: Mutant, passed_before: frozenset[str], known: tuple[str, ...]
    ) -> str | None:
        """Make a case of a mutant, or tell why it is none."""
        place = self._check_out(self._base)
        self._tool.apply(place, mutant)
        tree = self._repo.replace(self._base, mutant.file, (place / mutant.file).read_bytes())
        if tree in self._trees:
            return "the same as another"
        self._trees.add(tree)
        first = await self._suite(place, known)
        if first.hangs:
            return "hangs"
        if not first.passed and not first.failed:
            return "no test runs"
        if not passed_before & set(first.failed):
            return "survives"
        # Suites with random parts fail otherwise each time; the draw must not depend on it more than it has to.
        again = await self._suite(self._check_out(tree), known)
        broken = {
            test: message
            for test, message in first.failed.items()
            if test in passed_before and test in again.failed
        }
        if not broken:
            return "does not fail every time"
        # Nobody saw these pass: they were skipped, and will be again.
        never_passed = [test for test in (*first.failed, *again.failed) if test not in passed_before]
        case = casefile.case(self._origin, name, broken, (*known, *never_passed))
        bare = self._out / case.git
        gold = self._repo.patch(tree, self._base)
        self._repo.publish(tree, "program and tests", bare, case.branch_with_tests)
        if problem := await self._problem(case, bare, tree, gold):
            shutil.rmtree(bare)
            return problem
        casefile.write(self._out, self._origin, case, mutant.file, list(broken), gold)
        return None

    async def _problem(self, case: Case, bare: Path, tree: str, gold: bytes) -> str | None:
        """Check a case as published: the tests fail, and with the patch everything passes."""
        if self._repo.patched(tree, gold) != self._base:
            return "the patch does not lead back"
        before, after = self._place(), self._place()
        self._repo.clone(bare, before)
        first = await attempt(case, case.fail_to_pass_command, before, self._tools)
        if first.exit_code != 1 or not first.failed:
            return "does not fail when the tests are selected"
        self._repo.clone(bare, after)
        self._repo.apply(gold, after)
        for command in (case.fail_to_pass_command, case.pass_to_pass_command):
            if (await attempt(case, command, after, self._tools)).exit_code != 0:
                return "the base does not pass every time"
        return None

    async def _suite(self, tree: Path, known: tuple[str, ...]) -> Trial:
        case = casefile.case(self._origin, "suite", {}, known)
        return await attempt(case, case.pass_to_pass_command, tree, self._tools)

    def _check_out(self, tree: str) -> Path:
        place = self._place()
        self._repo.check_out(tree, place)
        return place

    def _place(self) -> Path:
        self._checkouts += 1
        return self._scratch / f"checkout-{self._checkouts}"
