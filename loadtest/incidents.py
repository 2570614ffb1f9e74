"""Tries every incident of a data directory from a clean clone: `python -m loadtest.incidents DATA_DIR [--only ID] [--json]`.

Each branch `incident/*` of the directory's local forge is cloned into a new directory, and its script is run there, as
a person would who has nothing else. Reported is what the script gave when the incident was filed, and what it gives
now. The stack need not run. Exit status: 0 when every incident shows the failure as recorded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from autopilot.cli import show

#: Seconds that a script may take.
SCRIPT_S = 3_600
#: What an exit status of the script means.
GAVE = {0: "does_not_show", 1: "as_recorded", 2: "not_tried", 3: "otherwise"}
#: Lines of a script's output that are kept.
LAST = 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One incident."""

    incident: str
    title: str
    code: str
    #: What the script gave when the incident was filed.
    filed: str
    #: What it gives from a clean clone; `unusable` where there was no script that could be started.
    now: str
    exit_code: int | None = None
    seconds: float = 0.0
    said: str = ""


def main() -> int:
    """Try the incidents and report."""
    options = _options()
    rows = [
        row for forge, branch in branches(options.data_dir, options.only) for row in [attempt(forge, branch)]
    ]
    if options.json:
        show.as_json(msgspec.to_builtins(rows))
    else:
        cells = [
            (row.incident, row.code, row.filed, row.now, row.seconds, row.said or row.title) for row in rows
        ]
        show.table(("incident", "failure", "when filed", "clean clone", "s", "last words"), cells)
    shown = sum(row.now == "as_recorded" for row in rows)
    print(f"{shown} of {len(rows)} incidents show the failure as recorded", file=sys.stderr)
    return 0 if rows and shown == len(rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.incidents", description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR")
    parser.add_argument("--only", nargs="+", default=[], metavar="TASK")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def branches(data_dir: Path, only: list[str]) -> Iterator[tuple[Path, str]]:
    """List the incident branches of every repository of a local forge."""
    for forge in sorted((data_dir / "forge").glob("*.git")):
        listed = _git(
            "-C", str(forge), "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/incident/"
        )
        for branch in listed.stdout.split():
            if not only or branch.removeprefix("incident/") in only:
                yield forge, branch


def attempt(forge: Path, branch: str) -> Row:
    """Clone a branch into a new directory and run its script in another."""
    with tempfile.TemporaryDirectory(prefix="autopilot-incident-") as scratch:
        clone = Path(scratch) / "clone"
        cloned = _git("clone", "-q", "--single-branch", "-b", branch, forge.absolute().as_uri(), str(clone))
        if cloned.returncode != 0:
            return Row(
                incident=branch, title="", code="", filed="", now="unusable", said=cloned.stderr.strip()
            )
        story: dict[str, Any] = msgspec.json.decode((clone / "incident.json").read_bytes())
        began = time.monotonic()
        # The output goes to a file: a process that outlives the script must not keep us waiting at a pipe.
        with open(Path(scratch) / "output", "w+b") as output:
            try:
                done = subprocess.run(
                    [str(clone / "reproduce"), str(Path(scratch) / "work")],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={"PATH": os.defpath, "HOME": scratch},
                    cwd=scratch,
                    timeout=SCRIPT_S,
                )
                code: int | None = done.returncode
            except (OSError, subprocess.TimeoutExpired) as error:
                code = None
                output.write(str(error).encode())
            output.seek(0)
            said = output.read().decode(errors="replace")
        return Row(
            incident=story["incident"]["incident_id"],
            title=story["incident"]["title"],
            code=story["incident"]["label"],
            filed=story["reproduction"]["gave"],
            now=GAVE.get(code if code is not None else -1, "unusable"),
            exit_code=code,
            seconds=round(time.monotonic() - began, 1),
            said=" ".join(said.strip().split("\n")[-LAST:]),
        )


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/"}
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, env=environment, timeout=600, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
