"""What `done` requires (invariant 8): every gate's approval and an accepted receipt, all of the pull request's own tree."""

from __future__ import annotations

from contracts.task import StageInput
from services.scheduler.domain.state import Task

#: Gates whose approval every change needs, and those that only judge what `review` found. Kept apart from the table by
#: which gates are asked, so that a gate that is not asked is missed here.
ALWAYS = (0, 1, 2, 3)
AFTER_REVIEW = (4, 5)


def evidence_lacking(known: StageInput, state: Task) -> str:
    """Name what a change lacks before it may become a pull request; empty when nothing does."""
    if state.synthetic:
        return ""
    required = ALWAYS if "review" in state.skipped else ALWAYS + AFTER_REVIEW
    if missing := [gate for gate in required if gate not in state.approved]:
        return f"no approval by gate {missing[0]}"
    judged = [trees for gate, trees in state.approved.items() if gate != 0]
    for repo in state.spec.repos:
        change = next((change for change in known.changes if change.repo == repo.name), None)
        receipt = next((seen for seen in known.verifications if seen.repo == repo.name), None)
        if change is None:
            return f"no change of {repo.name}"
        if receipt is None or receipt.tree != change.tree or not receipt.accepted:
            return f"no accepted receipt for the change of {repo.name}"
        if receipt.tree == receipt.base_tree:
            return f"the change of {repo.name} is empty"
        if any(trees.get(repo.name) != change.tree for trees in judged):
            return f"a gate judged another tree than the change of {repo.name}"
    return ""


def proof_lacking(known: StageInput, state: Task) -> str:
    """Name what is missing for `done` by invariant 8; empty when the proof is whole."""
    if lacking := evidence_lacking(known, state):
        return lacking
    pulls = {pull.repo: pull.tree for pull in known.pull_requests}
    for change in () if state.synthetic else known.changes:
        if pulls.get(change.repo) != change.tree:
            return f"no pull request of {change.repo} with the verified tree"
    return ""
