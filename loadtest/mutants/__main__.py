"""Draws bugs that a mutation tool makes, as cases for `python -m loadtest.cases`.

`python -m loadtest.mutants --cases FACTS --git OWNER/NAME=DIR … --out OUT --seed N --count 10`

FACTS holds what the case scripts know of real cases (*/case.json); a repository is mutated at the base commit of its
newest case. OUT gets cases/*/{case.json,gold.patch}, repos/*.git and manifest.json: every candidate drawn and what
became of it. The same seed draws the same cases. Exit status: 0 when all were made.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from loadtest.case import environment_with
from loadtest.mutants.draw import Draw, Drawn, shares
from loadtest.mutants.origin import newest
from loadtest.mutants.tool import REQUIREMENTS, MutationTool


def main() -> int:
    """Draw the cases and write them."""
    options = _options()
    sources = dict(pair.split("=", 1) for pair in options.git)
    origins = newest(options.cases, sources)
    out: Path = options.out.absolute()
    if (out / "cases").exists():
        raise SystemExit(f"{out} holds cases already: name another directory, so that no two draws are mixed")
    tool = MutationTool(options.tool or environment_with(out, REQUIREMENTS))
    record: list[Drawn] = []
    facts = []
    for repo, quota in shares(sources, options.count).items():
        tools = environment_with(out, origins[repo].test_requirements)
        with tempfile.TemporaryDirectory(prefix="autopilot-mutants-") as scratch:
            draw = Draw(origins[repo], Path(sources[repo]), Path(scratch), out, tool, tools)
            record += asyncio.run(draw.cases(options.seed, quota))
            facts.append({"repo": repo, "commit": origins[repo].base_commit, "mutants": draw.offered})
    manifest = {
        "seed": options.seed,
        "count": options.count,
        "tool": tool.version(),
        "tool_requirements": REQUIREMENTS,
        "python": sys.version.split()[0],
        "repositories": facts,
        "drawn": record,
    }
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (out / "manifest.json").write_bytes(text + b"\n")
    made = sum(one.case is not None for one in record)
    print(f"{made} cases of {len(record)} candidates", file=sys.stderr)
    return 0 if made == options.count else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR", help="facts of real cases")
    parser.add_argument("--git", action="append", required=True, metavar="OWNER/NAME=DIR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument(
        "--tool", type=Path, metavar="BIN", help="where cosmic-ray is; otherwise it is installed"
    )
    options = parser.parse_args()
    if wrong := [pair for pair in options.git if "=" not in pair]:
        parser.error(f"--git {wrong[0]}: write OWNER/NAME=DIR")
    return options


if __name__ == "__main__":
    sys.exit(main())
