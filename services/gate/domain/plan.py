"""Gate 0: the plan. Scope, a verification command, a rollback."""

from __future__ import annotations

from contracts.task import StageInput
from services.gate.domain.finding import Findings, finding

#: A plan that touches more files than this is no plan for one task.
MAX_FILES = 200


def judge(subject: StageInput) -> Findings:
    """Find what is wrong with a plan."""
    plan, specification = subject.plan, subject.specification
    if plan is None or specification is None:
        yield finding("no_evidence", "there is no plan or no specification to judge")
        return
    planned = {repo.repo: repo for repo in plan.repos}
    for repo in subject.spec.repos:
        step = planned.pop(repo.name, None)
        if step is None:
            yield finding("scope", f"the plan leaves out repository {repo.name}")
            continue
        if not (step.files or step.scope):
            yield finding("scope", f"the plan names neither files nor a scope in {repo.name}")
        if len(step.files) > MAX_FILES:
            yield finding(
                "scope", f"the plan touches {len(step.files)} files of {repo.name}, more than {MAX_FILES}"
            )
        if not step.verification:
            yield finding("no_verification", f"the plan has no command that could fail for {repo.name}")
        missing = [command for command in repo.fail_to_pass if command not in step.verification]
        if missing:
            yield finding("no_verification", f"the plan leaves out the acceptance command {missing[0]!r}")
        if not step.rollback:
            yield finding("no_rollback", f"the plan does not say how the change of {repo.name} is taken back")
        if specification.bases.get(repo.name) != step.base_commit:
            yield finding(
                "scope", f"the plan for {repo.name} is made for another base than the specification"
            )
    for name in planned:
        yield finding("scope", f"the plan names {name}, which is none of the task's repositories")
