"""One case of a directory written by the case scripts: its facts, its test environment, its task."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import msgspec

from contracts.task import Budget, Engine, RepoSpec, TaskSpec, Verify

#: Seconds for creating a test environment.
INSTALL_S = 600
#: As the cases were verified: their suites take up to 25 s and 188 MB.
BUDGET = Budget(memory_mb=1_024, wall_s=900)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a case says about itself. The fields that hold its answer are not read."""

    id: str
    title: str
    body: str
    test_requirements: tuple[str, ...]
    git: str = ""
    branch_with_tests: str = ""
    setup: str = ""
    fail_to_pass_command: str = ""
    pass_to_pass_command: str = ""
    known_failures: tuple[str, ...] = ()
    repos: tuple[dict[str, Any], ...] = ()

    @property
    def multi_repo(self) -> bool:
        """Tell whether it changes several repositories."""
        return bool(self.repos)


def load(root: Path, only: tuple[str, ...]) -> list[Case]:
    """Read the cases of a directory, all or some. Raises SystemExit naming what is missing."""
    paths = sorted((root / "cases").glob("*/case.json"))
    if not paths:
        raise SystemExit(f"{root}: no cases/*/case.json; make them with materialize.py or quixbugs.py")
    cases = [msgspec.json.decode(path.read_bytes(), type=Case) for path in paths]
    unknown = set(only) - {case.id for case in cases}
    if unknown:
        raise SystemExit(f"--only: no such case: {', '.join(sorted(unknown))}")
    return [case for case in cases if not only or case.id in only]


def environment(root: Path, case: Case) -> Path:
    """Return the `bin` directory of a virtual environment with the case's test packages, made if it is missing."""
    return environment_with(root, case.test_requirements)


def environment_with(root: Path, requirements: tuple[str, ...]) -> Path:
    """Return the `bin` directory of a virtual environment with some packages, made if it is missing."""
    name = hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:12]
    place = root.absolute() / "environments" / name
    ready = place / ".ready"
    if not ready.exists():
        venv.create(place, with_pip=True, clear=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True, timeout=INSTALL_S, stdout=sys.stderr)
        ready.touch()
    return place / "bin"


def task(root: Path, case: Case, tools: Path, engine: Engine, patch: str | None) -> TaskSpec:
    """Make the task that a case stands for."""
    if case.multi_repo:
        repos = tuple(
            RepoSpec(
                name=repo["dir"],
                url=str((root / repo["git"]).absolute()),
                base=repo["branch_with_tests"],
                verify=Verify(test=repo["test_command"]),
                known_failures=tuple(repo.get("known_failures", ())),
            )
            for repo in case.repos
        )
    else:
        repos = (
            RepoSpec(
                name=case.id,
                url=str((root / case.git).absolute()),
                base=case.branch_with_tests,
                setup=case.setup or None,
                env=path_with(tools),
                verify=Verify(test=case.pass_to_pass_command),
                fail_to_pass=(case.fail_to_pass_command,),
                known_failures=case.known_failures,
            ),
        )
    return TaskSpec(title=case.title, body=case.body, repos=repos, engine=engine, patch=patch, budget=BUDGET)


def path_with(tools: Path) -> dict[str, str]:
    """Put a directory of programs first."""
    return {"PATH": f"{tools}:$PATH"}
