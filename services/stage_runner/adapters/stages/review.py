"""Stage `review`: the rubric, five axes, each scored from a measured fact; what was not measured abstains."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.receipt import CommandReceipt, RepoVerification
from contracts.stage import StageOutput
from contracts.task import AxisScore, ReviewReport
from services.stage_runner.adapters.stages.context import StageContext, fail

#: Upper bounds (inclusive) of a fact for the scores 4, 3 and 2; beyond the last it scores 1.
COMPLEXITY_BOUNDS = (10, 30, 80)
SIZE_BOUNDS = (200, 800, 2_000)
#: Processor time of the tests, change over base: beside other work the same suite was seen to take five times as long by
#: the clock. A difference of fewer than NOISE_S seconds says nothing.
SLOWER_BOUNDS = (1.5, 5.0, 10.0)
NOISE_S = 10.0


async def carry(context: StageContext) -> StageOutput:
    """Score the change by what the verifier measured."""
    verifications = context.input.verifications
    if not verifications:
        fail("impossible", "no_receipt", "there is nothing measured that could be reviewed")
    scores = tuple(axis(verifications) for axis in AXES)
    report = ReviewReport(scores=scores, tree=verifications[0].tree)
    text = "\n".join(
        f"{score.axis}: {score.score if score.score is not None else 'abstains'} - {score.fact}"
        for score in scores
    )
    await context.keep("rubric.txt", text.encode())
    return StageOutput(review=report)


def resolution_proof(seen: Sequence[RepoVerification]) -> AxisScore:
    """Score how well it is proven that the task is resolved."""
    selected = sum(one.fail_to_pass_selected for one in seen)
    passed = sum(one.fail_to_pass_passed for one in seen)
    base, held = sum(one.base_tests for one in seen), sum(one.base_tests_held for one in seen)
    fact = f"{passed} of {selected} selected tests pass, {held} of {base} tests of the base hold"
    if passed < selected or held < base or not all(one.accepted for one in seen):
        return AxisScore(axis="resolution proof", score=0, fact=fact)
    if selected:
        return AxisScore(axis="resolution proof", score=4, fact=fact)
    return AxisScore(axis="resolution proof", score=3 if base else None, fact=fact)


def design(seen: Sequence[RepoVerification]) -> AxisScore:
    """Score how much more complicated the code became."""
    deltas = [one.facts.complexity_delta for one in seen if one.facts.complexity_delta is not None]
    if not deltas:
        return AxisScore(axis="design", score=None, fact="cyclomatic complexity could not be measured")
    return AxisScore(
        axis="design",
        score=_bounded(max(deltas), COMPLEXITY_BOUNDS),
        fact=f"cyclomatic complexity {max(deltas):+d}",
    )


def performance_and_security(seen: Sequence[RepoVerification]) -> AxisScore:
    """Score processor time against the base, and whether an audit passed; signs of evasion score 0."""
    name = "performance and security"
    evasions = [evasion for one in seen for evasion in one.facts.evasions]
    if evasions:
        return AxisScore(axis=name, score=0, fact=evasions[0].detail)
    before, after = _seconds(seen, "base"), _seconds(seen, "change")
    if before is None or after is None:
        return AxisScore(axis=name, score=None, fact="processor time was not measured on both sides")
    audited = [
        one for repo in seen for one in repo.commands if one.purpose == "audit" and one.side == "change"
    ]
    fact = f"tests take {after:.1f} s of processor time, on the base {before:.1f} s" + (
        "; the audit passed" if audited else ""
    )
    if after - before < NOISE_S:
        return AxisScore(axis=name, score=4 if audited else 3, fact=fact)
    return AxisScore(axis=name, score=_bounded(after / before, SLOWER_BOUNDS), fact=fact)


def maintainability(seen: Sequence[RepoVerification]) -> AxisScore:
    """Score the size of the change; placeholders score 1."""
    placeholders = [place for one in seen for place in one.facts.placeholders]
    if placeholders:
        return AxisScore(axis="maintainability", score=1, fact=f"{placeholders[0]} is a placeholder")
    lines = sum(one.facts.added_lines + one.facts.removed_lines for one in seen)
    if not lines:
        return AxisScore(axis="maintainability", score=None, fact="no changed line was measured")
    return AxisScore(axis="maintainability", score=_bounded(lines, SIZE_BOUNDS), fact=f"{lines} lines change")


def operability(seen: Sequence[RepoVerification]) -> AxisScore:
    """Score whether the change builds and is documented; without a build command there is no measurement."""
    builds = [
        one for repo in seen for one in repo.commands if one.purpose == "build" and one.side == "change"
    ]
    if not builds:
        return AxisScore(axis="operability", score=None, fact="the task has no build command to measure")
    if any(one.exit_code != 0 for one in builds):
        return AxisScore(axis="operability", score=0, fact="the build fails")
    documented = any(one.facts.docs_touched for one in seen)
    fact = "the build passes" + (", documentation is part of the change" if documented else "")
    return AxisScore(axis="operability", score=4 if documented else 3, fact=fact)


AXES = (resolution_proof, design, performance_and_security, maintainability, operability)


def _bounded(value: float, bounds: tuple[float, float, float]) -> int:
    return next((4 - place for place, bound in enumerate(bounds) if value <= bound), 1)


def _seconds(seen: Sequence[RepoVerification], side: str) -> float | None:
    """Sum the processor time of the test commands that ran on both sides to their own end."""
    total, found = 0.0, False
    for one in seen:
        tests = [receipt for receipt in one.commands if receipt.purpose in ("test", "fail_to_pass")]
        for receipt in tests:
            other = _counterpart(receipt, tests)
            if other is None or receipt.side != side or not "exited" == receipt.ended == other.ended:
                continue
            if receipt.cpu_s and other.cpu_s:
                total, found = total + receipt.cpu_s, True
    return total if found else None


def _counterpart(receipt: CommandReceipt, tests: Sequence[CommandReceipt]) -> CommandReceipt | None:
    return next(
        (
            one
            for one in tests
            if one.side != receipt.side and (one.purpose, one.command) == (receipt.purpose, receipt.command)
        ),
        None,
    )
