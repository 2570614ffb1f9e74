"""`init`: a commented task file and policy file for a repository, filled in as far as it can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from autopilot.cli import checkout, show, taskfile
from autopilot.cli.failure import UsageError
from contracts.policy import POLICY_FILE, Policy

TASK_FILE = "autopilot-task.yaml"
_TASK = """\
# A task for Autopilot: `autopilot submit {file} --wait`. Every field: docs/tasks.md of Autopilot.
title: "Say in one line what is wrong"
body: |
  What happens, what should happen instead, and how to see it. Whoever does the work reads this.
repos:
  - name: {name}
    url: .                    # this repository; your checkout is only ever read, uncommitted work is not seen
    base: {base}
    setup: null               # a command run in every fresh checkout before anything else
    env: {env}
    may_change_tests: []      # existing tests that the change may edit; new ones are always welcome
    monitor: {{smoke: null, window_s: 0}}
    verify:
      build: null
      test: {test}
      audit: null
    fail_to_pass: []          # commands that fail now and must pass on the change: what the task is about
    known_failures: []        # tests that fail now and may go on failing, as tests/test_x.py::test_y
    report: null              # JUnit XML that the test command writes; needed for runners other than pytest
engine: auto                  # auto | command | repair | patch
patch: null                   # for engine patch: a file beside this one
priority: normal              # urgent | normal | low
depends_on: []
queue: default
budget: {{tokens: 10000, memory_mb: 512, wall_s: 900}}
"""
_POLICY = """\
# What Autopilot may do in this repository. It is read from the base branch, so a change cannot grant itself more.

[agent]
# Program of engine `command`: run with `sh -c` in a checkout, in a sandbox without network, the task on its
# standard input; what differs in the files afterwards is its change. Without one, the installation's is used.
# command = "my-agent --print"
wall_s = 900

[change]
# Paths, folders or glob patterns that a change stays within. Existing tests, test configuration and CI are
# protected beside this.
within = ["*"]
"""


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A git checkout.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a task file and a policy file for a repository. Both are commented; nothing is submitted."""
    root = _root(directory)
    texts = {TASK_FILE: _task(root, os.environ), POLICY_FILE: _POLICY}
    present = [name for name in texts if (root / name).exists()]
    if present and not force:
        raise UsageError(f"{root / present[0]} is there already; --force replaces it")
    msgspec.toml.decode(_POLICY, type=Policy)
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")
        show.line(f"wrote {show.path(root / name)}")
    try:
        taskfile.load(root / TASK_FILE)
    except UsageError as error:
        show.line(f"Before it can be submitted: {error}")
    show.line(f"Commit {POLICY_FILE} to the base branch: only there it counts.")


def _root(directory: Path) -> Path:
    """Find the checkout. Raises UsageError."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: is no directory")
    top = checkout.ask(directory, "rev-parse", "--show-toplevel")
    if not top:
        raise UsageError(f"{directory}: is no git checkout; `git init` makes one")
    return Path(top)


def _task(root: Path, environ: Mapping[str, str]) -> str:
    tools = checkout.tools(root, environ)
    test = _test_command(root)
    return _TASK.format(
        file=TASK_FILE,
        name=checkout.name_of(str(root)),
        base=_quoted(checkout.ask(root, "symbolic-ref", "--short", "HEAD") or "HEAD"),
        env=f"{{PATH: {_quoted(f'{tools}:$PATH')}}}  # where the test tools are; mounted read-only"
        if tools
        else '{}                   # for example {PATH: "/path/to/venv/bin:$PATH"}: where the test tools are',
        test=_quoted(test) if test else "null              # the command that runs all tests",
    )


def _test_command(root: Path) -> str:
    """Guess how the tests are run; empty where nothing tells."""
    if any(root.glob("test*/**/test_*.py")) or any(root.glob("test_*.py")) or (root / "conftest.py").exists():
        return "python -m pytest -q"
    for name, command in (
        ("go.mod", "go test ./..."),
        ("Cargo.toml", "cargo test"),
        ("package.json", "npm test --silent"),
    ):
        if (root / name).exists():
            return command
    makefile = root / "Makefile"
    if makefile.is_file() and re.search(r"^test\s*:", makefile.read_text(errors="replace"), re.MULTILINE):
        return "make test"
    return ""


def _quoted(text: str) -> str:
    """Write a YAML scalar in double quotes."""
    return msgspec.json.encode(text).decode()
