"""Mends a repository by search: from a commit and the commands that fail on it to changes that let them pass."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
import structlog

from libs.repair import edits, localisation
from libs.repair.bench import Bench
from libs.repair.change import Change, Tried
from libs.repair.learning import Guard, Lesson, Target, cover, guard_of, observe, patience, target_of
from libs.repair.search import Search
from libs.repair.suspicion import Ranked, ordered
from libs.repair.trial import Place, Run
from libs.verification.checkout import Tree
from libs.verification.environment import surround
from libs.verification.execution import Ran, Workshop, run_plain, together
from libs.verification.paths import Layout
from libs.verification.types import Request, VerificationError

#: Files of more bytes are not edited: they are tables, or generated.
_FILE_BYTES = 400_000
#: Share of the time that the first runs may take, and wall-clock seconds of a trial's failing tests.
_FIRST_SHARE, _LEAST_WALL_S = 0.4, 3.0

_log = structlog.get_logger(__name__)


class NotFailingError(VerificationError):
    """The commands pass on the base: there is nothing to mend."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a search."""

    #: Wall-clock seconds.
    budget_s: float = 60.0
    workers: int = 2
    seed: int = 0
    #: Changes that are tried at most in each round of the search: single edits, second edits, special cases; None for as
    #: many as there is time for.
    trials: int | None = None
    #: Processor seconds that a test of the whole suite may take on the base before anything is known about it.
    suite_cpu_s: float = 20.0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to."""

    #: Changes that every command accepts, the best first.
    survivors: tuple[Tried, ...]
    #: Everything tried, in the order of trying.
    tried: tuple[Tried, ...]
    #: Suspicious lines of the base with their text, most suspicious first.
    places: tuple[Ranked, ...]
    sources: dict[str, str]
    #: Wall-clock seconds: until the search began, and in all.
    learning_s: float
    seconds: float
    guarded: bool
    seed: int


async def repair(
    request: Request,
    mirror: Tree,
    *,
    workdir: Path,
    cookie: str = "",
    settings: Settings | None = None,
    permitted: Callable[[str], bool] = lambda _: True,
    refused: Callable[[Change], bool] = lambda _: False,
) -> Found:
    """Search for a change of the base commit (`request.commit` is not looked at).

    `workdir` is made and is gone afterwards, whatever happens; cancelling kills every process. `permitted` tells
    which files may be edited, besides all that are protected anyway; `refused` which changes are not wanted: they were
    proposed before. Raises NotFailingError, VerificationError for a request that
    makes no sense or a set-up that fails, and what the git broker and the sandbox raise.
    """
    chosen = settings or Settings()
    await asyncio.to_thread(shutil.rmtree, workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    benches: list[Bench] = []
    try:
        workshop = Workshop(
            workdir=workdir.absolute(),
            surroundings=await asyncio.to_thread(surround, request.env),
            limits=msgspec.structs.replace(request.limits, parallel=chosen.workers),
            cookie=cookie or f"repair-{uuid.uuid4().hex}",
            places=asyncio.Semaphore(chosen.workers),
        )
        tree = await _prepare(request, mirror, workshop)
        until = time.monotonic() + chosen.budget_s
        benches += [Bench(workshop, tree, until) for _ in range(max(2, chosen.workers))]
        files = [entry.path for entry in await mirror.files(request.base_commit)]
        return await _search(request, tree, files, benches, chosen, permitted, refused, until)
    finally:
        for bench in benches:
            await asyncio.shield(bench.reset())
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, workdir, ignore_errors=True))


async def _prepare(request: Request, mirror: Tree, workshop: Workshop) -> Path:
    tree = workshop.fresh("original")
    await mirror.export(request.base_commit, tree)
    if request.setup:
        ran: Ran = await run_plain(workshop, request.setup, tree, workshop.workdir / "setup.log")
        if not ran.succeeded:
            raise VerificationError(f"the set-up `{request.setup}` does not work on the base")
    return tree


async def _search(
    request: Request,
    tree: Path,
    files: Collection[str],
    benches: list[Bench],
    settings: Settings,
    permitted: Callable[[str], bool],
    refused: Callable[[Change], bool],
    until: float,
) -> Found:
    began = time.monotonic()
    targets, guard, modules = await _observe(request, benches, settings)
    if not targets:
        raise NotFailingError(
            "the commands that must come to pass pass on the base: there is nothing to mend"
        )
    for bench in benches:
        bench.warm(modules)
    named = [command for _, command in request.commands()]
    collected = {name.partition("::")[0] for target in targets for name in target.base.collected}
    if guard is not None:
        collected |= {name.partition("::")[0] for name in guard.base.collected}
    layout = Layout(files, named, collected)
    kept = localisation.named(named)
    editable = [
        path for path in files if permitted(path) and path not in kept and not layout.is_protected(path)
    ]
    sources = await asyncio.to_thread(_sources, tree, editable)
    scores = await cover(benches[0], targets, guard, tuple(sources), settings.budget_s)
    if not all(target.failing and benches[0].holds(target.command) for target in targets) or not scores:
        # Where not every test was seen, what the tests import is suspected beside what their failures point at.
        blind = await asyncio.to_thread(localisation.fallback, tree, sources, targets)
        scores = {place: min(1.0, scores.get(place, 0.0) + blind.get(place, 0.0)) for place in scores | blind}
    lesson = _lesson(targets, guard, scores, modules)
    _log.info("repair_learned", failing=sum(len(one.failing) for one in targets), lines=len(scores))
    learned = time.monotonic()
    suspected = {path: text for path, text in sources.items() if any(path == place[0] for place in scores)}
    search = Search(
        benches[: settings.workers],
        lesson,
        suspected,
        edits.candidates,
        seed=settings.seed,
        until=until,
        memory_mb=request.limits.memory_mb,
        refused=refused,
        trials=settings.trials,
    )
    await search.run()
    return Found(
        survivors=tuple(search.survivors),
        tried=tuple(search.tried[number] for number in sorted(search.tried)),
        places=tuple(ordered(scores)),
        sources=suspected,
        learning_s=learned - began,
        seconds=time.monotonic() - began,
        guarded=guard is not None or not request.test,
        seed=settings.seed,
    )


async def _observe(
    request: Request, benches: list[Bench], settings: Settings
) -> tuple[tuple[Target, ...], Guard | None, tuple[str, ...]]:
    """Run all commands on the base: those that must come to pass here, the whole suite beside them."""
    wall_s = _FIRST_SHARE * settings.budget_s
    known = request.known_failures
    commands = list(dict.fromkeys(request.fail_to_pass or filter(None, [request.test])))

    async def wanted() -> list[Run]:
        return [await observe(benches[0], command, wall_s) for command in commands]

    async def suite() -> list[Run]:
        if request.test is None or request.test in commands:
            return []
        return [await observe(benches[1], request.test, wall_s, settings.suite_cpu_s)]

    runs, whole = await together([wanted(), suite()])
    by_command = dict(zip(commands, runs, strict=True))
    allowed = () if request.fail_to_pass else known
    targets = [
        target
        for command, run in by_command.items()
        if (target := target_of(command, run, allowed)) is not None
    ]
    guard = None
    if request.test is not None:
        guard = guard_of(request.test, by_command.get(request.test) or whole[0], known, targets)
    modules = dict.fromkeys(name for run in (*runs, *whole) for name in run.modules)
    return tuple(targets), guard, tuple(modules)


def _lesson(
    targets: tuple[Target, ...], guard: Guard | None, scores: dict[Place, float], modules: tuple[str, ...]
) -> Lesson:
    cpu_s = patience([target.base for target in targets])
    slowest = max(target.base.seconds for target in targets)
    late = sum(test.status == "late" for target in targets for test in target.base.tests.values())
    wall_s = max(_LEAST_WALL_S, 3 * cpu_s, 4 * slowest if not late else 0.0)
    return Lesson(targets=targets, guard=guard, scores=scores, cpu_s=cpu_s, wall_s=wall_s, modules=modules)


def _sources(tree: Path, files: Collection[str]) -> dict[str, str]:
    """Read the Python files among some that are no tests."""
    found: dict[str, str] = {}
    for path in sorted(files):
        place = tree / path
        if not path.endswith(".py") or place.is_symlink() or not place.is_file():
            continue
        if not place.resolve().is_relative_to(tree.resolve()) or place.stat().st_size > _FILE_BYTES:
            continue
        try:
            text = place.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        if not localisation.is_test(text):
            found[path] = text
    return found
