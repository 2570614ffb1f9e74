"""Engine `repair`: what it finds is committed with its reasons, what failed before is not proposed again."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from contracts.task import Budget, PlanDelta, RepoChange, StageInput
from libs.git.tree import tree_with
from libs.repair.repair import Settings
from services.stage_runner.adapters.engines import repair
from services.stage_runner.adapters.stages.context import StageError
from tests.integration.stage_runner.bench import Bench
from tests.system.shop import PYTEST, require_sandbox

FAULT = "def least(rows):\n    best = rows[0]\n    for row in rows:\n        if row > best:\n            best = row\n    return best\n"
TEST = "from wide import least\n\n\ndef test_wide():\n    assert least([2, 1, 3]) == 1\n\n\ndef test_one():\n    assert least([1]) == 1\n"


async def planned(bench: Bench, text: str, test: str = TEST, **repo: Any) -> StageInput:
    """Put a fault into the shop, and carry `spec` and `plan` out."""
    require_sandbox()
    bench.shop.commit({"wide.py": text, "test_wide.py": test})
    made = bench.task(**repo)
    budget = Budget(wall_s=300, memory_mb=512)
    given = StageInput(spec=msgspec.structs.replace(made, engine="repair", patch=None, budget=budget))
    specification = (await bench.carry(bench.request("spec", given))).specification
    given = msgspec.structs.replace(given, specification=specification)
    return msgspec.structs.replace(given, plan=(await bench.carry(bench.request("plan", given))).plan)


async def changed(bench: Bench, given: StageInput, attempt: int = 1) -> RepoChange:
    (change,) = (await bench.carry(bench.request("implement", given, attempt))).changes
    return change


async def test_what_is_found_is_committed_and_says_why_it_is_believed(bench: Bench) -> None:
    given = await planned(bench, FAULT)
    assert given.plan is not None
    assert given.plan.repos[0].scope == ("*.py",)
    change = await changed(bench, given)
    assert change.files == ("wide.py",)
    text = (await (await bench.mirror()).blob(change.commit, "wide.py") or b"").decode()
    assert text == FAULT.replace("row > best", "row < best")
    assert "found by search; tried" in change.remarks[0]
    assert "seed 0" in change.remarks[0]


async def test_a_tree_that_failed_is_not_proposed_again(bench: Bench) -> None:
    given = await planned(bench, FAULT)
    first = await changed(bench, given)
    delta = PlanDelta(loop=1, different="another", answers=("x",), signature="s", avoid=(first.tree,))
    again = msgspec.structs.replace(given, delta=delta)
    second = bench.request("implement", again, attempt=2)
    try:
        output = await bench.carry(second)
    except StageError as error:
        output = error.output
    assert first.tree not in [change.tree for change in output.changes]


async def test_where_nothing_is_found_the_failure_lists_places_and_what_came_near(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its end is a number of trials: how many there is time for depends on the machine.
    monkeypatch.setattr(repair, "Settings", partial(Settings, trials=10))
    test = (
        "from wide import code\n\n\ndef test_wide():\n    assert code('a') == 97003\n\n\n"
        "def test_more():\n    assert code('bc') == 98700991\n\n\ndef test_yet_more():\n    assert code('q') == 113017\n"
    )
    text = "def code(text):\n    total = 1\n    for letter in text:\n        total = total * 2\n    return total\n"
    given = await planned(bench, text, test, fail_to_pass=(f"{PYTEST} test_wide.py",))
    failure = (await bench.failure(bench.request("implement", given))).failure
    assert (failure.kind, failure.code) == ("impossible", "no_repair_found")
    places = [finding.detail for finding in failure.findings if finding.code == "suspicious_place"]
    assert any("total = total * 2" in place for place in places)


async def test_what_does_not_fail_cannot_be_mended(bench: Bench) -> None:
    given = await planned(bench, FAULT.replace(">", "<"))
    failure = (await bench.failure(bench.request("implement", given))).failure
    assert (failure.kind, failure.code) == ("impossible", "not_failing_on_base")


async def test_the_tree_of_a_change_is_the_one_that_git_makes(bench: Bench) -> None:
    bench.shop.commit({"a/b.py": "1\n", "a.b/c.py": "2\n", "a-b": "3\n", "a/c/d/e.py": "4\n"})
    mirror = await bench.mirror()
    base = await mirror.resolve("main")
    entries = await mirror.files(base)
    assert tree_with(entries, {}) == await mirror.tree(base)
    commit = bench.shop.commit({"a/c/d/e.py": "other\n", "a-b": "5"})
    changed_tree = bench.shop.git("rev-parse", f"{commit}^{{tree}}").strip()
    assert tree_with(entries, {"a/c/d/e.py": b"other\n", "a-b": b"5"}) == changed_tree
