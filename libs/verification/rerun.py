"""Repeats accepted runs with tests that must fail, and rejects what passes all the same."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from libs.verification import checkout
from libs.verification.control import (
    Sabotaged,
    exempt,
    make_controls,
    problems,
    unassured,
    write_blind_controls,
)
from libs.verification.execution import Ran, Workshop, run_observed, together
from libs.verification.novelty import Novelty
from libs.verification.paths import Layout
from libs.verification.report import Report
from libs.verification.side import CachedBase, Done, Runner
from libs.verification.types import Code, Problem, Request


async def assure(
    request: Request,
    workshop: Workshop,
    base_runner: CachedBase,
    runner: Runner,
    layout: Layout,
    prepared: Path,
    base: Done,
    ran: dict[str, Ran],
    new: Novelty,
) -> list[Problem]:
    """Run every test command again on sabotaged tests; the base is asked only about tests that look wrong."""
    commands = list(dict.fromkeys(filter(None, (request.test, *request.fail_to_pass))))
    controls = await together(
        [
            _control(
                request,
                workshop,
                layout,
                prepared,
                command,
                base.ran[command].report,
                ran[command].report,
                new,
            )
            for command in commands
        ]
    )
    found: list[Problem] = []
    for command, (sabotaged, control) in zip(commands, controls, strict=True):
        suspects = unassured(ran[command].report, control, sabotaged)
        if suspects:
            suspects = await _without_exempt(request, workshop, base_runner, layout, command, base, suspects)
        found += problems(command, suspects, control)
    return found


async def _without_exempt(
    request: Request,
    workshop: Workshop,
    base_runner: CachedBase,
    layout: Layout,
    command: str,
    base: Done,
    suspects: dict[str, Code],
) -> dict[str, Code]:
    """Leave out tests that pass on the base although made to fail: that is how they are written."""
    before = base.ran[command].report
    if not any(test.id in suspects and test.status == "passed" for test in before.tests):
        return suspects
    tree = await base_runner.export()
    await base_runner.set_up(tree, layout)
    _, control = await _control(request, workshop, layout, tree, command, before, before)
    return {test: code for test, code in suspects.items() if not exempt(test, before, control)}


async def _control(
    request: Request,
    workshop: Workshop,
    layout: Layout,
    prepared: Path,
    command: str,
    base: Report,
    change: Report,
    new: Novelty | None = None,
) -> tuple[Sabotaged, Report]:
    tree = workshop.fresh("copy")
    try:
        await asyncio.to_thread(checkout.copy, prepared, tree)
        tests = [path for path in layout.files if layout.is_test(path)]
        if request.report is None:
            sabotaged = await asyncio.to_thread(make_controls, tree, base.tests, change.tests, tests, new)
        else:
            sabotaged = await asyncio.to_thread(write_blind_controls, tree, tests, new)
        output = workshop.fresh("control")
        ran = await run_observed(workshop, command, tree, output, request.report, altered=sabotaged.files)
        return sabotaged, ran.report
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True))
