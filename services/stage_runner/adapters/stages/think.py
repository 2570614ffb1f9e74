"""Stage `think`: looks at what the plan touches before anything is changed; facts only, no model is needed for these."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from contracts.stage import StageOutput
from contracts.task import PlannedRepo, RepoSpec
from libs.git.mirror import Mirror
from services.stage_runner.adapters.stages.context import StageContext

#: Test files that are searched for the names of planned modules, and bytes read of each.
MAX_TESTS, MAX_BYTES = 400, 200_000


async def carry(context: StageContext) -> StageOutput:
    """Note what is risky about the plan, which tests look at it, and what the last failure asks for."""
    thoughts: list[str] = []
    specification, plan, delta = context.input.specification, context.input.plan, context.input.delta
    if specification is not None:
        thoughts += [f"risk is {specification.risk}: {reason}" for reason in specification.risk_reasons]
        thoughts += [f"unclear: {question}" for question in specification.ambiguities]
    if failed := context.input.incident:
        thoughts.append(f"incident {failed.incident_id} at {failed.stage} ({failed.code}): {failed.reason}")
        thoughts += [f"failed before: {found.code}: {found.detail}" for found in failed.findings]
    if delta is not None:
        thoughts.append(f"loop {delta.loop} has to answer: {', '.join(delta.answers)}")
    planned = {step.repo: step for step in plan.repos} if plan else {}
    for repo in context.input.spec.repos:
        if step := planned.get(repo.name):
            thoughts += await _about(await context.mirror(repo), repo, step)
    await context.keep("thoughts.txt", "\n".join(thoughts).encode())
    return StageOutput(thoughts=tuple(thoughts))


async def _about(mirror: Mirror, repo: RepoSpec, step: PlannedRepo) -> list[str]:
    entries = await mirror.files(step.base_commit)
    present = {entry.path for entry in entries}
    thoughts = [f"{path} of {repo.name} does not exist yet" for path in step.files if path not in present]
    tests = [path for path in sorted(present) if re.search(r"(^|/)(test_[^/]*|[^/]*_test)\.py$", path)][
        :MAX_TESTS
    ]
    names = {PurePosixPath(path).stem for path in step.files if path.endswith(".py")} - {"__init__"}
    for name in sorted(names):
        word = re.compile(rf"\b{re.escape(name)}\b".encode())
        looking = [
            path
            for path in tests
            if word.search(await mirror.blob(step.base_commit, path, limit=MAX_BYTES * 10) or b"")
        ]
        seen = ", ".join(looking[:5]) if looking else "no test file"
        thoughts.append(f"module {name} of {repo.name} is mentioned in {seen}")
    return thoughts
