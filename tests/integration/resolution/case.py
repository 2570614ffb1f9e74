"""A repository whose test fails, and incidents about changes to it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.receipt import CommandReceipt, EvidenceRef, Problem
from contracts.resolution import IncidentOpened
from contracts.task import Budget, RepoChange, RepoSpec
from libs.evidence.store import EvidenceStore
from libs.git.broker import Broker
from libs.sandbox import capability
from libs.verification.report import Report, Seen
from services.resolution.adapters.reporter import Reporter, Written

PYTEST = "python -m pytest -q -p no:cacheprovider"
RIGHT = "def pad(text):\n    return text + ' '\n"
WRONG = "def pad(text):\n    return text + '?'\n"
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
ENV = {"PATH": f"{Path(sys.executable).parent}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


class Case:
    """A repository whose test fails, and what a data directory holds of it."""

    def __init__(self, root: Path) -> None:
        self.data, self.source = root / "data", root / "the user's repository"
        self.source.mkdir(parents=True)
        self.git("init", "-q", "--initial-branch=main")
        (self.source / "wide.py").write_text("def pad(text):\n    return text\n")
        (self.source / "test_wide.py").write_text(
            "from wide import pad\n\n\ndef test_pad():\n    assert pad('a') == 'a '\n"
        )
        self.git("add", ".")
        self.git("commit", "-qm", "first")
        self.base = self.git("rev-parse", "HEAD")

    def git(self, *args: str, cwd: Path | None = None, fails: bool = False) -> str:
        """Run git as the user."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{
                f"GIT_{who}_{what}": "u@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.source, env=environment, capture_output=True, text=True
        )
        assert (done.returncode != 0) == fails, done.stderr
        return (done.stderr if fails else done.stdout).strip()

    async def change(self, files: dict[str, str]) -> RepoChange:
        """Make a commit as the stage `implement` does."""
        mirror = await Broker(self.data).mirror(str(self.source))
        place = self.data / "work" / "t1" / "one"
        worktree = await mirror.add_worktree(place, self.base)
        for name, text in files.items():
            (place / name).write_text(text)
        commit = await worktree.commit("a change", when=WHEN)
        await mirror.remove_worktree(place)
        assert commit is not None
        return RepoChange(
            repo="r", base_commit=self.base, commit=commit, tree=await mirror.tree(commit), files=tuple(files)
        )

    def receipt(self, command: str = PYTEST, *, tests: tuple[str, ...] = (), **values: Any) -> CommandReceipt:
        """What the verifier measured of a command on the change; with the tests that failed, as its observer reports."""
        report = None
        if tests:
            seen = Report(observed=True, tests=tuple(Seen(id=test, status="failed") for test in tests))
            content = msgspec.json.encode(seen)
            digest = EvidenceStore(self.data / "evidence").put_bytes(content)
            report = EvidenceRef(digest=digest, name="test.json")
            log = EvidenceStore(self.data / "evidence").put_bytes(b"=== short test summary info ===\n")
            values = {"output": EvidenceRef(digest=log, name="test.log"), **values}
        given: dict[str, Any] = {"purpose": "test", "side": "change", "exit_code": 1, "ended": "exited"}
        return CommandReceipt(
            command=command,
            tree="t",
            duration_s=1,
            peak_memory_mb=1,
            report=report,
            **{**given, **values},
        )

    def incident(
        self, *changes: RepoChange, repo: dict[str, Any] | None = None, **values: Any
    ) -> IncidentOpened:
        """An incident about a change; `repo` changes its repository."""
        spec = {"name": "r", "url": str(self.source), "env": ENV, "fail_to_pass": [PYTEST], **(repo or {})}
        receipts = values.pop("receipts", (self.receipt(tests=("test_wide.py::test_pad",)),))
        given: dict[str, Any] = {
            "title": "t",
            "stage": "verify",
            "reason": "why",
            "label": "gate_refused",
            "repos": (msgspec.convert(spec, RepoSpec),),
            "bases": {"r": self.base},
            "changes": changes,
            "commands": (("r", PYTEST),),
            "findings": (Problem(code="test_not_passing", detail="test_pad fails"),),
            "evidence": (),
            "receipts": tuple(("r", receipt) for receipt in receipts),
            "budget": Budget(memory_mb=512, wall_s=60),
        }
        return IncidentOpened(incident_id="t1-1", task_id="t1", **{**given, **values})

    async def written(self, incident: IncidentOpened) -> Written:
        """Write the directory, as resolution does."""
        if not self.source.exists() or Broker(self.data).existing(str(self.source)) is None:
            await Broker(self.data).mirror(str(self.source))
        return await Reporter(self.data).write(incident)


def run(directory: Path, place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would, in a directory of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(place.parent), **variables}
    command = [str(directory / "reproduce"), str(place)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, cwd=directory.parent
    )


def require_sandbox() -> None:
    """Skip, with the reason, where commands cannot be shut in."""
    found = capability.probe()
    if found.kind is None:
        pytest.skip(found.missing)
