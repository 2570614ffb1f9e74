"""A second opinion on a pull request: a fresh checkout, the case's own commands, exit codes. None of the product's
verification is used; only its sandbox, since the code is not ours."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from libs.sandbox.command import Command, Limits, Mount, Outcome
from libs.sandbox.interpreters import required_mounts
from libs.sandbox.runner import run
from loadtest.case import Case

_GIT = ("git", "-c", "core.hooksPath=/dev/null")


async def passes(case: Case, forge: Path, number: int, tools: Path) -> bool:
    """Tell whether a fresh checkout of a pull request passes both commands of its case."""
    with tempfile.TemporaryDirectory(prefix="autopilot-check-") as scratch:
        tree = Path(scratch) / "tree"
        await asyncio.to_thread(_check_out, forge, number, tree)
        for script in (case.fail_to_pass_command, case.pass_to_pass_command):
            if (await attempt(case, script, tree, Path(scratch), tools)).exit_code != 0:
                return False
    return True


def _check_out(forge: Path, number: int, tree: Path) -> None:
    for arguments in (
        ("init", "-q", str(tree)),
        ("-C", str(tree), "fetch", "-q", str(forge), f"refs/pull/{number}/head"),
        ("-C", str(tree), "checkout", "-q", "FETCH_HEAD"),
    ):
        subprocess.run([*_GIT, *arguments], check=True, capture_output=True, timeout=120)


async def attempt(
    case: Case,
    script: str,
    tree: Path,
    scratch: Path,
    tools: Path,
    *,
    wall_s: float = 900,
    report: Path | None = None,
) -> Outcome:
    """Run one command of a case in a checkout, after its set-up and without its known failures.

    With `report`, pytest writes what it saw to `report/junit.xml`. What was printed is in `scratch/output.log`.
    """
    options = [f"--deselect {shlex.quote(test)}" for test in case.known_failures]
    mounts = [Mount(source=str(tree), target="/tree", writable=True), *required_mounts([str(tools)])]
    if report is not None:
        options.append("--junitxml=/report/junit.xml")
        mounts.append(Mount(source=str(report), target="/report", writable=True))
    command = Command(
        script=f"( {case.setup or ':'}\n) && ( {script}\n)",
        cwd="/tree",
        env={"PATH": f"{tools}:{os.defpath}", "PYTEST_ADDOPTS": " ".join(options)},
        mounts=tuple(mounts),
        limits=Limits(wall_s=wall_s, memory_mb=1_024),
    )
    return await run(command, scratch / "output.log")
