"""Mutants come from cosmic-ray, by its command line, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec

#: The tool and the parser by which it counts occurrences: another version of either may make other mutants.
REQUIREMENTS = ("cosmic-ray==8.7.0", "parso==0.8.7")
#: Seconds for one call. Listing the mutants of 2,000 lines takes about a second.
LIMIT_S = 300

_CONFIG = """\
[cosmic-ray]
module-path = {files}
timeout = 60.0
excluded-modules = []
test-command = "false"

[cosmic-ray.distributor]
name = "local"
"""


class Mutant(msgspec.Struct, frozen=True, order=True):
    """One change that the tool can make: the n-th place in a file where an operator applies."""

    file: str
    operator: str
    occurrence: int


class MutationTool:
    """A cosmic-ray in a `bin` directory, with the operators that it uses unless told otherwise."""

    def __init__(self, tools: Path) -> None:
        self._program = tools / "cosmic-ray"

    def version(self) -> str:
        """Return what the tool calls itself."""
        return self._call(Path.cwd(), "--version").strip()

    def mutants(self, tree: Path, files: list[str], scratch: Path) -> list[Mutant]:
        """List every mutant of some files of a tree, in a stable order."""
        config, session = scratch / "cosmic-ray.toml", scratch / "session.sqlite"
        # a JSON array of strings is one in TOML, too
        config.write_text(_CONFIG.format(files=json.dumps(files)))
        self._call(tree, "init", str(config), str(session))
        mutations = [
            mutation
            for line in self._call(tree, "dump", str(session)).splitlines()
            for mutation in json.loads(line)[0]["mutations"]
        ]
        return sorted(
            Mutant(mutation["module_path"], mutation["operator_name"], mutation["occurrence"])
            for mutation in mutations
        )

    def apply(self, tree: Path, mutant: Mutant) -> None:
        """Make a mutant of the tree's file, in place."""
        self._call(tree, "apply", mutant.file, mutant.operator, str(mutant.occurrence))

    def _call(self, cwd: Path, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._program), *arguments], cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S
        )
        if done.returncode:
            raise SystemExit(f"cosmic-ray {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout
