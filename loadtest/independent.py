"""A second opinion on a pull request: a fresh checkout, the case's own commands, exit codes. None of the product's
verification is used; only its sandbox, since the code is not ours."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from libs.sandbox.command import Command, Limits, Mount
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
            if not await _succeeds(case, script, tree, Path(scratch), tools):
                return False
    return True


def _check_out(forge: Path, number: int, tree: Path) -> None:
    for arguments in (
        ("init", "-q", str(tree)),
        ("-C", str(tree), "fetch", "-q", str(forge), f"refs/pull/{number}/head"),
        ("-C", str(tree), "checkout", "-q", "FETCH_HEAD"),
    ):
        subprocess.run([*_GIT, *arguments], check=True, capture_output=True, timeout=120)


async def _succeeds(case: Case, script: str, tree: Path, scratch: Path, tools: Path) -> bool:
    deselect = " ".join(f"--deselect {shlex.quote(test)}" for test in case.known_failures)
    command = Command(
        script=f"( {case.setup or ':'}\n) && ( {script}\n)",
        cwd="/tree",
        env={"PATH": f"{tools}:{os.defpath}", "PYTEST_ADDOPTS": deselect},
        mounts=(Mount(source=str(tree), target="/tree", writable=True), *required_mounts([str(tools)])),
        limits=Limits(wall_s=900, memory_mb=1_024),
    )
    outcome = await run(command, scratch / "output.log")
    return outcome.exit_code == 0
