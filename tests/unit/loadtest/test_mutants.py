"""Which mutants a seed draws, what is read from a run, and what a case says."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loadtest.mutants import casefile
from loadtest.mutants.draw import drawing_order, shares
from loadtest.mutants.origin import Origin, newest
from loadtest.mutants.tool import Mutant
from loadtest.mutants.trial import read

MUTANTS = [
    Mutant(file, operator, occurrence)
    for file in ("a.py", "b.py")
    for operator in ("AddNot", "NumberReplacer")
    for occurrence in range(25)
]
ORIGIN = Origin(
    repo="owner/name",
    base_commit="0" * 40,
    commit_date=datetime(2026, 1, 1, tzinfo=UTC),
    test_requirements=("pytest",),
    fail_to_pass=("tests/test_a.py::test_one[a b]",),
    fail_to_pass_command="python -m pytest -q 'tests/test_a.py::test_one[a b]'",
    pass_to_pass_command="python -m pytest -q tests",
)


def test_a_seed_draws_the_same_mutants_in_whatever_order_they_come() -> None:
    shuffled = MUTANTS.copy()
    for seed in range(10):
        random.Random(seed).shuffle(shuffled)
        assert drawing_order(seed, "r", shuffled) == drawing_order(seed, "r", MUTANTS)
    assert sorted(drawing_order(1, "r", MUTANTS)) == sorted(MUTANTS)


def test_the_order_of_a_seed_never_changes() -> None:
    first = drawing_order(20261128, "owner/name", MUTANTS)[:3]
    assert first == [
        Mutant("a.py", "NumberReplacer", 23),
        Mutant("b.py", "AddNot", 0),
        Mutant("a.py", "AddNot", 5),
    ]


def test_seed_and_repository_each_draw_otherwise() -> None:
    orders = [drawing_order(seed, repo, MUTANTS) for seed in (1, 2) for repo in ("r", "s")]
    assert all(one != other for place, one in enumerate(orders) for other in orders[:place])


def test_every_mutant_is_drawn_as_often_as_any_other() -> None:
    ten = MUTANTS[20:30]
    times = dict.fromkeys(ten, 0)
    for seed in range(1_000):
        times[drawing_order(seed, "r", ten)[0]] += 1
    chi_square = sum((seen - 100) ** 2 / 100 for seen in times.values())
    # nine degrees of freedom: 99.9 % of uniform draws lie below
    assert chi_square < 27.9


@pytest.mark.parametrize("count", range(12))
@pytest.mark.parametrize("repos", ["a", "ab", "abc", "abcde"])
def test_cases_are_spread_evenly_whatever_the_order_of_the_repositories(repos: str, count: int) -> None:
    given_to = shares(repos, count)
    assert sum(given_to.values()) == count
    assert max(given_to.values()) - min(given_to.values()) <= 1
    assert given_to == shares(reversed(repos), count)


def test_ten_cases_of_three_repositories_are_four_three_and_three() -> None:
    assert shares(["c", "a", "b"], 10) == {"a": 4, "b": 3, "c": 3}


def test_a_report_is_read_test_by_test_with_node_ids(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.test_a" name="test_one[a.b::c]"/>
        <testcase classname="tests.test_a.TestB.TestC" name="test_two">
          <failure message="assert &lt;X at 0x7f47f546cdd0&gt; == 1">long</failure></testcase>
        <testcase classname="tests.test_a" name="test_three"><error message="set-up"/></testcase>
        <testcase classname="tests.test_a" name="test_four"><skipped/></testcase>
        <testcase classname="tests.test_a" name="test_five"/>
        <testcase classname="tests.test_a" name="test_five"><error message="tear-down"/></testcase>
        <testcase classname="" name="tests.test_broken"><error message="collection failure"/></testcase>
        </testsuite></testsuites>"""
    )
    passed, failed = read(report, {"tests/test_a.py", "tests/__init__.py"})
    assert passed == {"tests/test_a.py::test_one[a.b::c]"}
    assert failed == {
        "tests/test_a.py::TestB::TestC::test_two": "assert <X at 0x…> == 1",
        "tests/test_a.py::test_three": "set-up",
        "tests/test_a.py::test_five": "tear-down",
    }


def test_a_repository_is_taken_as_its_newest_case_tells(tmp_path: Path) -> None:
    for day in (2, 3, 1):
        place = tmp_path / f"case-{day}"
        place.mkdir()
        date = (ORIGIN.commit_date + timedelta(days=day)).isoformat()
        facts = {
            "repo": "owner/name",
            "base_commit": str(day),
            "commit_date": date,
            "test_requirements": [],
            "fail_to_pass": [],
            "fail_to_pass_command": "",
            "pass_to_pass_command": "",
        }
        (place / "case.json").write_text(json.dumps(facts))
    assert newest(tmp_path, ["owner/name"])["owner/name"].base_commit == "3"
    with pytest.raises(SystemExit, match="no case of other/name"):
        newest(tmp_path, ["owner/name", "other/name"])


def test_a_case_selects_its_failing_tests_by_node_id() -> None:
    case = casefile.case(ORIGIN, "mutant-name-1", {"tests/t.py::test[x y]": "assert 1 == 2"}, ("k", "k"))
    assert case.fail_to_pass_command == "python -m pytest -q 'tests/t.py::test[x y]'"
    assert case.pass_to_pass_command == "python -m pytest -q tests"
    assert "assert 1 == 2" in case.body
    assert case.known_failures == ("k",)


def test_a_command_stays_within_what_a_task_may_carry() -> None:
    broken = {f"tests/test_a.py::test_{number:04}": "assert" for number in range(1_000)}
    case = casefile.case(ORIGIN, "mutant-name-1", broken, ())
    assert 5_000 < len(case.fail_to_pass_command) <= 10_000
    assert len(case.title) <= 500
    assert case.title.endswith("and 999 more fail")


def test_a_command_that_does_not_end_in_its_tests_is_refused() -> None:
    with pytest.raises(SystemExit, match="does not end in its tests"):
        Origin(
            repo="owner/name",
            base_commit="0",
            commit_date=ORIGIN.commit_date,
            test_requirements=(),
            fail_to_pass=("tests/t.py::test",),
            fail_to_pass_command="pytest tests/t.py::test -q",
            pass_to_pass_command="pytest",
        ).runner()
