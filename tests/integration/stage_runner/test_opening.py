"""Stages `spec`, `plan` and `implement` on real git: bases, risk, files, one commit, and clear failures."""

from __future__ import annotations

import msgspec
import pytest

from contracts.task import StageInput, TaskSpec
from libs.git.broker import Broker
from tests.integration.stage_runner.bench import Bench
from tests.system.shop import FIX, PYTEST, RIGHT


def lines(count: int) -> str:
    """A file of so many lines."""
    return "".join(f"x = {number}\n" for number in range(count))


async def opened(bench: Bench, task: TaskSpec) -> StageInput:
    """Let `spec` and `plan` do their work, and return what `implement` gets."""
    given = StageInput(spec=task)
    given = msgspec.structs.replace(
        given, specification=(await bench.carry(bench.request("spec", given))).specification
    )
    return msgspec.structs.replace(given, plan=(await bench.carry(bench.request("plan", given))).plan)


@pytest.mark.parametrize(
    ("files", "risk"),
    [
        ({"wide.py": RIGHT}, "low"),
        ({f"a{number}.py": "x = 1\n" for number in range(6)}, "medium"),
        ({f"a{number}.py": "x = 1\n" for number in range(20)}, "high"),
        ({"long.py": lines(200)}, "medium"),
        ({"long.py": lines(800)}, "high"),
        ({"authorise.py": "x = 1\n"}, "high"),
        ({"migrations/0001.sql": "select 1;\n"}, "high"),
    ],
)
async def test_risk_is_classed_by_what_the_patch_touches(
    bench: Bench, files: dict[str, str], risk: str
) -> None:
    given = await opened(bench, bench.shop.task(bench.shop.patch(files)))
    assert given.specification is not None
    assert given.specification.risk == risk
    assert f"{len(files)} files" in given.specification.risk_reasons[0]


async def test_the_specification_and_the_plan_name_what_will_judge_the_change(bench: Bench) -> None:
    given = await opened(bench, bench.shop.task(bench.shop.patch({"wide.py": RIGHT, "new.py": "x = 1\n"})))
    assert given.specification is not None
    assert given.plan is not None
    (step,) = given.plan.repos
    base = bench.shop.git("rev-parse", "main").strip()
    assert given.specification.acceptance == (("wide", FIX),)
    assert given.specification.bases == {"wide": base} == {step.repo: step.base_commit}
    assert given.specification.ambiguities == ()
    assert step.files == ("new.py", "wide.py")
    assert step.verification == (FIX, PYTEST)
    assert "revert" in step.rollback


async def test_a_task_that_does_not_say_what_has_to_change_is_ambiguous(bench: Bench) -> None:
    task = bench.shop.task(bench.shop.patch({"wide.py": RIGHT}), fail_to_pass=[])
    specification = (await bench.carry(bench.request("spec", StageInput(spec=task)))).specification
    assert specification is not None
    assert len(specification.ambiguities) == 1


async def test_the_change_is_one_commit_with_the_patch_and_the_tasks_words(bench: Bench) -> None:
    given = await opened(bench, bench.shop.task(bench.shop.patch({"wide.py": RIGHT})))
    (change,) = (await bench.carry(bench.request("implement", given))).changes
    mirror = Broker(bench.data).existing(bench.shop.url)
    assert mirror is not None
    told = bench.shop.git(
        "log", "--format=%P%n%s%n%b", f"{change.base_commit}..{change.commit}", cwd=mirror.path
    )
    assert told.splitlines()[:2] == [change.base_commit, "Pad"]
    assert "Autopilot-Task: t1" in told
    assert bench.shop.git("show", f"{change.commit}:wide.py", cwd=mirror.path) == RIGHT
    assert change.files == ("wide.py",)
    assert change.diff is not None


async def test_made_again_after_a_crash_it_is_the_same_commit(bench: Bench) -> None:
    given = await opened(bench, bench.shop.task(bench.shop.patch({"wide.py": RIGHT})))
    request = bench.request("implement", given)
    first, again = await bench.carry(request), await bench.carry(request)
    assert first.changes == again.changes


PATCHES: dict[str, tuple[str, str]] = {
    "no patch at all": ("hello\n", "patch_malformed"),
    "a patch for another file": (
        "diff --git a/nope.py b/nope.py\n--- a/nope.py\n+++ b/nope.py\n@@ -1 +1 @@\n-a\n+b\n",
        "patch_does_not_apply",
    ),
    "a patch that leaves the tree": (
        "diff --git a/../out.py b/../out.py\nnew file mode 100644\n--- /dev/null\n+++ b/../out.py\n@@ -0,0 +1 @@\n+x\n",
        "patch_does_not_apply",
    ),
    "a patch that changes a hook": (
        "diff --git a/.git/hooks/x b/.git/hooks/x\nnew file mode 100755\n--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+x\n",
        "patch_does_not_apply",
    ),
}


@pytest.mark.parametrize("name", PATCHES)
async def test_a_patch_that_is_of_no_use_fails_by_name(bench: Bench, name: str) -> None:
    text, code = PATCHES[name]
    given = StageInput(spec=bench.shop.task(text))
    codes = []
    for stage in ("spec", "plan", "implement"):
        try:
            output = await bench.carry(bench.request(stage, given))
        except Exception as error:
            codes.append(error.failure.code)  # type: ignore[attr-defined]
            break
        given = msgspec.structs.replace(
            given, **{key: value for key in ("specification", "plan") if (value := getattr(output, key))}
        )
    assert codes == [code]
    assert not (bench.root / "out.py").exists()
