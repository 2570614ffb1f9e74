"""F5: the gates are wired. In a copy of the tree, each gate call taken out in turn makes its named test fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAIN = "services/scheduler/domain"
TABLE = re.compile(r"^GATES_AFTER: .*$", re.MULTILINE)

NAMED = {
    0: "test_gate_0_stops_a_plan_without_a_way_back",
    1: "test_gate_1_stops_a_change_whose_audit_nobody_saw",
    2: "test_gate_2_stops_a_change_that_is_too_large",
    3: "test_gate_3_stops_a_change_that_touches_what_was_not_planned",
    4: "test_gate_4_stops_a_change_that_complicates_the_code",
    5: "test_gate_5_stops_a_change_that_takes_a_public_name_away_unsaid",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the test needs of the tree; with what is compiled already, which saves time."""
    ignored = shutil.ignore_patterns("page", "schemas")
    for name in ("contracts", "libs", "services"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "tests" / "system").mkdir(parents=True)
    for path in (ROOT / "tests" / "system").glob("*.py"):
        shutil.copy(path, tmp_path / "tests" / "system")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def found(tree: Path) -> tuple[Path, str]:
    """Find the line that says which gates are asked after which stage."""
    ((path, table),) = [
        (path, line) for path in (tree / DOMAIN).glob("*.py") for line in TABLE.findall(path.read_text())
    ]
    return path, table


def patched(table: str, gate: int) -> str:
    """Take one gate out of the table, and nothing else."""
    name, _, value = table.partition(" = ")
    asked = {
        stage: tuple(one for one in gates if one != gate) for stage, gates in literal_eval(value).items()
    }
    return f"{name} = {asked}"


def run(tree: Path, names: list[str]) -> dict[str, bool]:
    """Run some tests of the copy, and tell which passed."""
    listed = [f"tests/system/test_gates.py::{name}" for name in names]
    plugins = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=line", *plugins, *listed]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=120)
    outcomes = re.findall(r"^(PASSED|FAILED) \S+::(\w+)", done.stdout, re.MULTILINE)
    said = {name: outcome == "PASSED" for outcome, name in outcomes}
    assert set(said) == set(names), done.stdout + done.stderr
    return said


@pytest.fixture
def without(copy: Path) -> Callable[[int], Path]:
    """Takes one gate out of the walk of the copy."""

    def one(gate: int) -> Path:
        path, table = found(copy)
        path.write_text(path.read_text().replace(table, patched(table, gate)))
        return copy

    return one


def test_in_an_unchanged_copy_every_named_test_passes(copy: Path) -> None:
    assert run(copy, list(NAMED.values())) == dict.fromkeys(NAMED.values(), True)


@pytest.mark.parametrize("gate", NAMED)
def test_without_a_gate_its_named_test_fails(without: Callable[[int], Path], gate: int) -> None:
    assert run(without(gate), [NAMED[gate]]) == {NAMED[gate]: False}


@pytest.mark.parametrize("gate", NAMED)
def test_the_table_loses_exactly_that_gate(gate: int) -> None:
    _, table = found(ROOT)
    before, after = (literal_eval(line.partition(" = ")[2]) for line in (table, patched(table, gate)))
    flat = [number for gates in after.values() for number in gates]
    assert flat == [number for gates in before.values() for number in gates if number != gate]
