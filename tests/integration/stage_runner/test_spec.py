"""Stage `spec`: what a base is, however a task spells it."""

from __future__ import annotations

import msgspec

from contracts.task import StageInput
from tests.integration.stage_runner.bench import Bench


async def branch(bench: Bench, base: str) -> str:
    """Tell what a base is to the specification."""
    wanted = msgspec.structs.replace(bench.task(base=base), engine="repair", patch=None)
    output = await bench.carry(bench.request("spec", StageInput(spec=wanted)))
    assert output.specification is not None
    return output.specification.branches["wide"]


async def test_one_branch_is_the_same_however_a_task_spells_it(bench: Bench) -> None:
    # At the same commit as `main`, so that no commit tells which of them `HEAD` is.
    bench.shop.git("branch", "a-release")
    assert {await branch(bench, base) for base in ("main", "HEAD", "refs/heads/main")} == {"main"}
    assert await branch(bench, "a-release") == "a-release"
    bench.shop.git("checkout", "-q", "a-release")
    assert await branch(bench, "HEAD") == "a-release"


async def test_what_is_no_branch_is_its_commit(bench: Bench) -> None:
    commit = bench.shop.git("rev-parse", "HEAD").strip()
    bench.shop.git("tag", "v1")
    bench.shop.git("checkout", "-q", "--detach")
    assert {await branch(bench, base) for base in ("v1", "refs/tags/v1", commit, commit[:12], "HEAD")} == {
        commit
    }
