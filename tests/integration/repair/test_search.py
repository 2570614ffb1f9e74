"""A search in the real sandbox mends what a small edit can mend, and says honestly what it cannot."""

from __future__ import annotations

from libs.repair import account
from libs.repair.repair import Settings
from tests.integration.repair.conftest import Clinic
from tests.system.shop import PYTEST

FIRST = "def first(rows, number):\n    found = []\n    for place in range({}):\n        found.append(rows[place])\n    return found\n"
TEST_FIRST = """from it import first


def test_two():
    assert first([1, 2, 3], 2) == [1, 2]


def test_all():
    assert first([1, 2, 3], 3) == [1, 2, 3]


def test_none():
    assert first([], 0) == []
"""


async def test_an_off_by_one_is_mended_and_nothing_else_is_broken(clinic: Clinic) -> None:
    found = await clinic.search({"it.py": FIRST.format("number + 1"), "test_it.py": TEST_FIRST})
    best = found.survivors[0].change
    assert best.files.keys() == {"it.py"}
    assert not best.special_case
    namespace: dict[str, object] = {}
    exec(best.files["it.py"], namespace)
    assert namespace["first"]([7, 8, 9, 10], 3) == [7, 8, 9]  # type: ignore[operator]
    assert "it.py" in account.remarks(found, found.survivors[0])[0]


async def test_a_test_that_hangs_is_mended(clinic: Clinic) -> None:
    text = (
        "def halve(number):\n    steps = 0\n    while number > 1:\n        number = number // 1\n"
        "        steps += 1\n    return steps\n"
    )
    test = "from it import halve\n\n\ndef test_eight():\n    assert halve(8) == 3\n\n\ndef test_one():\n    assert halve(1) == 0\n"
    found = await clinic.search({"it.py": text, "test_it.py": test}, Settings(budget_s=120, suite_cpu_s=2))
    assert found.survivors, account.log(found)
    assert found.places[0].line in (3, 4, 5), "what the hanging test was doing is known all the same"


async def test_what_breaks_another_test_does_not_survive(clinic: Clinic) -> None:
    files = {
        "it.py": "def price(total):\n    return total - 1\n",
        "test_it.py": "from it import price\n\n\ndef test_it():\n    assert price(1) == 1\n",
        "test_other.py": "from it import price\n\n\ndef test_other():\n    assert price(1) == 0\n",
    }
    found = await clinic.search(files, Settings(budget_s=120, trials=10))
    assert found.survivors == (), "no edit can satisfy both"
    assert [sum(len(one.change.edits) == edits for one in found.tried) for edits in (1, 2)] == [10, 10]
    assert any("test_other" in one.verdict.note for one in found.tried)


async def test_where_nothing_is_found_the_places_and_the_nearest_are_named(clinic: Clinic) -> None:
    files = {
        "it.py": "def digest(text):\n    total = 0\n    for letter in text:\n        total += 1\n    return total\n",
        "test_it.py": "from it import digest\n\n\ndef test_none():\n    assert digest('') == 5381\n\n\ndef test_some():\n"
        "    assert digest('abc') == 193485963\n\n\ndef test_more():\n    assert digest('xyz') == 193511454\n",
    }
    found = await clinic.search(files, Settings(budget_s=120, trials=10))
    assert not found.survivors
    assert account.suspicious(found)[0].startswith("it.py:")
    assert account.log(found)["tried"] == len(found.tried) > 0


async def test_an_empty_module_is_no_place_to_suspect(clinic: Clinic) -> None:
    """Python runs it on line 0, which no file has: the account of a whole search was lost over it."""
    files = {
        "kit/__init__.py": "",
        "kit/it.py": FIRST.format("number + 1"),
        "test_it.py": TEST_FIRST.replace("from it", "from kit.it"),
    }
    found = await clinic.search(files)
    assert found.survivors
    assert account.log(found)["suspicious"][0]["path"] == "kit/it.py"
    assert {one.path for one in found.places} == {"kit/it.py"}


async def test_a_runner_that_is_not_pytest_is_run_as_it_is_written(clinic: Clinic) -> None:
    files = {
        "it.py": FIRST.format("number + 1"),
        "check_it.py": "import unittest\nfrom it import first\n\n\nclass Case(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertEqual(first([1, 2, 3], 3), [1, 2, 3])\n",
    }
    command = "python -m unittest check_it"
    found = await clinic.search(files, test=None, fail_to_pass=(command,))
    assert found.survivors
    assert found.survivors[0].change.files.keys() == {"it.py"}, (
        "a script that the command names is no product"
    )


async def test_equal_seeds_try_equal_candidates_in_equal_order(clinic: Clinic) -> None:
    files = {"it.py": FIRST.format("number + 1"), "test_it.py": TEST_FIRST}
    once = await clinic.search(files)
    again = await clinic.search({**files, "README.md": "again"})
    both = min(len(once.tried), len(again.tried))
    assert [one.change for one in once.tried[:both]] == [one.change for one in again.tried[:both]]
    assert once.survivors[0].change == again.survivors[0].change


async def test_hostile_code_ends_its_trials_and_not_the_search(clinic: Clinic) -> None:
    files = {
        "it.py": "import os\n\n\ndef level(number):\n    if number < 3:\n        return 'low'\n"
        "    if number == 7:\n        os._exit(0)\n    if number == 8:\n        os.kill(os.getppid(), 9)\n"
        "    if number == 9:\n        while True:\n            os.fork()\n    return 'high'\n",
        "test_it.py": "from it import level\n\n\ndef test_low():\n    assert level(3) == 'low'\n\n\n"
        "def test_high():\n    assert level(4) == 'high'\n",
    }
    found = await clinic.search(files)
    assert found.survivors
    assert "<=" in found.survivors[0].change.files["it.py"] or "4" in found.survivors[0].change.files["it.py"]


async def test_what_a_trial_writes_into_the_channel_mends_nothing(clinic: Clinic) -> None:
    liar = (
        "import json, os\n\n\ndef answer():\n    for number in range(3, 64):\n        try:\n"
        "            os.write(number, b'done\\n' + json.dumps(['finish', 0]).encode() + b'\\ne{}\\nh\\n')\n"
        "        except OSError:\n            pass\n    return 1\n"
    )
    test = "from it import answer\n\n\ndef test_it():\n    assert answer() == 'never ' + 'to be ' + 'found'\n"
    found = await clinic.search({"it.py": liar, "test_it.py": test}, Settings(budget_s=120, trials=10))
    assert not [one for one in found.survivors if not one.change.special_case]


async def test_protected_files_are_never_edited(clinic: Clinic) -> None:
    files = {
        "it.py": "from tests.data import LIMIT\n\n\ndef small(number):\n    return number > LIMIT\n",
        "tests/data.py": "LIMIT = 3\n",
        "tests/test_it.py": "from it import small\n\n\ndef test_it():\n    assert small(1)\n    assert not small(9)\n",
        "conftest.py": "",
    }
    command = f"{PYTEST} tests/test_it.py"
    found = await clinic.search(files, test=command, fail_to_pass=(command,))
    assert found.survivors
    assert {path for one in found.tried for path in one.change.files} == {"it.py"}


async def test_an_answer_to_the_tested_inputs_is_named_and_comes_last(clinic: Clinic) -> None:
    files = {
        "it.py": "def grade(points):\n    return 'good'\n",
        "test_it.py": "from it import grade\n\n\ndef test_it():\n    assert [grade(points) for points in (-1, 0, 2, 7, 1)]"
        " == ['good', 'good', 'good', 'good', None]\n",
    }
    found = await clinic.search(files, Settings(budget_s=60))
    special = [one.number for one in found.tried if one.change.special_case]
    general = [one.number for one in found.tried if not one.change.special_case]
    assert max(general) < min(special)
    for one in found.survivors:
        assert one.change.special_case
        assert any("tested inputs alone" in remark for remark in account.remarks(found, one))
    assert found.survivors
