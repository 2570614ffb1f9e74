"""Gate 2: risk, from the size and complexity of the change."""

from __future__ import annotations

from contracts.task import StageInput
from services.gate.domain.finding import Findings, finding

#: Lines added and removed, files, and cyclomatic complexity added that one pull request may have. Reviewers find
#: fewer and fewer defects beyond 400 changed lines; five times that is where this gate says no by itself.
MAX_LINES, MAX_FILES, MAX_COMPLEXITY = 2_000, 60, 80


def judge(subject: StageInput) -> Findings:
    """Find what makes a change too risky to go on by itself."""
    if not subject.verifications:
        yield finding("no_evidence", "nothing was measured of the change")
    for seen in subject.verifications:
        facts = seen.facts
        lines = facts.added_lines + facts.removed_lines
        if not facts.files:
            yield finding("no_evidence", f"no changed file of {seen.repo} was measured")
        if lines > MAX_LINES:
            yield finding(
                "too_large", f"{lines} lines of {seen.repo} change, more than {MAX_LINES}: split the task"
            )
        if len(facts.files) > MAX_FILES:
            yield finding(
                "too_wide",
                f"{len(facts.files)} files of {seen.repo} change, more than {MAX_FILES}: split the task",
            )
        if facts.complexity_delta is not None and facts.complexity_delta > MAX_COMPLEXITY:
            yield finding(
                "too_complex",
                f"cyclomatic complexity of {seen.repo} grows by {facts.complexity_delta}, more than {MAX_COMPLEXITY}",
            )
