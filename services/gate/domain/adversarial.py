"""Gate 3: is the change what it pretends to be? Test integrity, evidence, plan against diff, evasion, placeholders."""

from __future__ import annotations

from contracts.receipt import EvidenceRef
from contracts.task import StageInput
from libs.verification.paths import is_permitted
from services.gate.domain.finding import Findings, finding


def judge(subject: StageInput) -> Findings:
    """Find signs that work is claimed that was not done."""
    if not subject.verifications:
        yield finding("no_evidence", "nothing was measured of the change")
    planned = {repo.repo: repo for repo in subject.plan.repos} if subject.plan else {}
    for seen in subject.verifications:
        facts = seen.facts
        for path in facts.protected_touched:
            yield finding("test_integrity", f"{path} of {seen.repo} judges the change and was changed by it")
        yield from facts.evasions
        for place in facts.placeholders:
            yield finding("superficial", f"{place} is a placeholder")
        step = planned.get(seen.repo)
        unplanned = sorted(
            path
            for path in facts.files
            if step is None or not (path in step.files or is_permitted(path, step.scope))
        )
        if unplanned:
            yield finding(
                "out_of_plan", f"{unplanned[0]} of {seen.repo} changes though the plan does not name it"
            )
        if not _stored(seen.diff):
            yield finding("evidence_invalid", f"the diff of {seen.repo} is not among the evidence")
        for receipt in seen.commands:
            if not _stored(receipt.output):
                yield finding(
                    "evidence_invalid", f"there is no output of {receipt.command!r} ({receipt.side})"
                )


def _stored(reference: EvidenceRef | None) -> bool:
    return reference is not None and len(reference.digest) == 64
