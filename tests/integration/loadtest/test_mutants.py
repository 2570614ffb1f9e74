"""Mutants of a small repository become cases: real git, real suites in the sandbox, and the tool where there is one."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadtest.case import load
from loadtest.mutants.draw import Draw, Drawn
from loadtest.mutants.origin import Origin
from loadtest.mutants.tool import MutationTool

CALC = """\
def larger(a, b):
    return a if a > b else b


def unused(a):
    return a + 1
"""
TESTS = """\
import calc


def test_larger():
    assert calc.larger(1, 2) == 2


def test_equal():
    assert calc.larger(2, 2) == 2
"""
#: Without the plugins of this environment a run takes a third of the time.
COMMAND = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q -p no:cacheprovider"
#: Speaks the part of cosmic-ray's command line that is used; its operators replace text. A shell starts it, since the
#: first line of a script cannot name an interpreter whose path has a space.
STAND_IN = f"""\
#!/bin/sh
''':'
exec {shlex.quote(sys.executable)} "$0" "$@"
'''
import json, pathlib, sys
texts = {{
    "Less": ("a > b", "a < b"),
    "LessAgain": ("a > b", "a < b"),
    "Unseen": ("a + 1", "a - 1"),
    "Unreadable": ("def unused", "def def"),
}}
verb, *rest = sys.argv[1:]
if verb == "dump":
    for name in texts:
        work = {{"mutations": [{{"module_path": "calc.py", "operator_name": name, "occurrence": 0}}]}}
        print(json.dumps([work, None]))
elif verb == "apply":
    file = pathlib.Path(rest[0])
    file.write_text(file.read_text().replace(*texts[rest[1]]))
"""


def git(place: Path, *arguments: str, stdin: bytes | None = None) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=n@example.invalid")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=place, input=stdin, capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode().strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a repository with a module, its tests, and a history."""
    place = tmp_path / "source"
    (place / "tests").mkdir(parents=True)
    (place / "calc.py").write_text(CALC)
    (place / "tests/test_calc.py").write_text(TESTS)
    git(place, "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "first")
    git(place, "commit", "-qm", "second", "--allow-empty")
    return place


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    place = tmp_path / "tool"
    place.mkdir()
    (place / "cosmic-ray").write_text(STAND_IN)
    (place / "cosmic-ray").chmod(0o755)
    return place


async def draw(source: Path, out: Path, tool: Path, scratch: Path, quota: int) -> list[Drawn]:
    scratch.mkdir()
    origin = Origin(
        repo="owner/calc",
        base_commit=git(source, "rev-parse", "HEAD"),
        commit_date=datetime(2026, 1, 1, tzinfo=UTC),
        test_requirements=(),
        fail_to_pass=("tests/test_calc.py::test_larger",),
        fail_to_pass_command=f"PYTHONPATH=. {COMMAND} tests/test_calc.py::test_larger",
        pass_to_pass_command=f"PYTHONPATH=. {COMMAND} tests",
    )
    tools = Path(sys.executable).parent
    return await Draw(origin, source, scratch, out, MutationTool(tool), tools).cases(7, quota)


async def test_only_what_makes_a_test_fail_becomes_a_case(
    source: Path, stand_in: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    record = await draw(source, out, stand_in, tmp_path / "scratch", 9)

    fates = {one.mutant.operator: one.case or one.skipped for one in record}
    assert sorted([fates.pop("Less"), fates.pop("LessAgain")]) == ["mutant-calc-1", "the same as another"]
    assert fates == {"Unseen": "survives", "Unreadable": "no test runs"}

    (case,) = load(out, ())
    assert case.fail_to_pass_command.endswith(f"{COMMAND} tests/test_calc.py::test_larger")
    assert "assert 1 == 2" in case.body
    assert_the_case_keeps_its_answer(out, source)


async def test_cosmic_ray_itself_is_driven(source: Path, tmp_path: Path) -> None:
    program = shutil.which("cosmic-ray")
    if program is None:
        pytest.skip("no cosmic-ray on the PATH: install it into an environment of its own to run this test")
    out = tmp_path / "out"
    record = await draw(source, out, Path(program).parent, tmp_path / "scratch", 1)
    assert record[-1].case == "mutant-calc-1"
    assert record[-1].mutant.file == "calc.py"
    assert_the_case_keeps_its_answer(out, source)


def assert_the_case_keeps_its_answer(out: Path, source: Path) -> None:
    """The published repository holds one commit and not the tree that the patch leads back to."""
    (case,) = load(out, ())
    bare, folder = out / case.git, out / "cases" / case.id
    assert git(bare, "rev-list", "--all", "--count") == "1"
    answer = git(source, "rev-parse", "HEAD:calc.py")
    objects = git(bare, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert answer not in objects
    place = out / "solved"
    git(out, "clone", "-q", "-b", case.branch_with_tests, str(bare), str(place))
    git(place, "apply", "-", stdin=(folder / "gold.patch").read_bytes())
    assert (place / "calc.py").read_text() == CALC
    assert json.loads((folder / "case.json").read_text())["gold_files"] == ["calc.py"]
