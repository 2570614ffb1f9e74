"""Plants bugs into a copy of the tree, one at a time, and runs the simulation there until it finds them.

`python -m tests.simulation.planting [--seeds N] [NAME ...]`; the bugs are the patches in `planted/`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLANTED = Path(__file__).parent / "planted"
#: What a run of the simulation needs.
NEEDED = ("contracts", "libs", "services", "infra", "tests", "pyproject.toml")


def names() -> list[str]:
    """Name the bugs that can be planted."""
    return sorted(patch.stem for patch in PLANTED.glob("*.patch"))


def copy(place: Path) -> None:
    """Copy the tree."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, place / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        else:
            shutil.copy(source, place / name)


def plant(name: str, place: Path) -> None:
    """Apply a bug to a copy. Raises CalledProcessError when the code has moved on under the patch."""
    subprocess.run(
        ["git", "apply", "--unsafe-paths", f"--directory={place}", str(PLANTED / f"{name}.patch")],
        cwd=place,
        check=True,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(place.parent)},
    )


def search(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation of a copy until it finds something; exit status 1 if it did."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--until-found", *options],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> int:
    """Plant each bug and tell which seed finds it; 1 if one is not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planting", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="run so many seeds at most")
    parser.add_argument("names", nargs="*", default=names(), metavar="NAME", help=", ".join(names()))
    given = parser.parse_args()
    missed = 0
    for name in given.names:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="autopilot-planted-") as directory:
            copy(Path(directory))
            plant(name, Path(directory))
            found = search(Path(directory), "--seeds", str(given.seeds))
        took = time.perf_counter() - began
        if found.returncode == 1 and " breaks " in found.stdout:
            print(f"{name}: found in {took:.0f} s\n{_first(found.stdout)}", flush=True)
        else:
            missed += 1
            print(f"{name}: NOT FOUND in {took:.0f} s\n{found.stdout}{found.stderr}", flush=True)
    return 1 if missed else 0


def _first(told: str) -> str:
    """Take the first seed and what it breaks out of what the simulation printed."""
    lines = told[told.index("\nseed ") :].strip().splitlines()
    return "\n".join(line[:200] for line in lines[:3])


if __name__ == "__main__":
    sys.exit(main())
