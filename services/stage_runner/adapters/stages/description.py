"""What a pull request says about itself: the evidence in short, and that a machine made it."""

from __future__ import annotations

from contracts.receipt import CommandReceipt, RepoVerification
from contracts.task import RepoChange, RepoSpec, StageInput
from libs.forge.port import Check

_TASK_TRAILER = "Autopilot-Task: "


def body_for(given: StageInput, task_id: str, repo: RepoSpec, change: RepoChange) -> str:
    """Write the body of a pull request from receipts only."""
    parts = [given.spec.body.strip() or given.spec.title]
    if given.draft:
        parts.append("**Not reviewed**: the system ran in mode `minimal`; this pull request is a draft.")
    stacked = [base for base in given.bases if base.repo_url == repo.url]
    if stacked:
        names = ", ".join(f"`{base.branch}` ({base.pull_request or base.task_id})" for base in stacked)
        parts.append(f"Builds on {names}; merge that first.")
    verification = _verification(given, repo)
    remarks = [*change.remarks, *_special_cases(verification)]
    if remarks:
        parts.append("## To be looked at\n\n" + "\n".join(f"- {remark}" for remark in remarks))
    if verification is not None:
        parts.append(f"## Evidence\n\n{_evidence(verification)}")
    if given.review is not None:
        scores = "\n".join(
            f"- {score.axis}: {'abstains' if score.score is None else score.score} ({score.fact})"
            for score in given.review.scores
        )
        parts.append(f"## Review\n\n{scores}")
    if given.approvals:
        parts.append("Approved by " + ", ".join(given.approvals) + ".")
    plan = next((step for step in given.plan.repos if step.repo == repo.name), None) if given.plan else None
    if plan is not None:
        parts.append(f"Rollback: {plan.rollback}")
    parts.append(
        f"Made by Autopilot without a person; please review it as you would anybody's.\n\n{_TASK_TRAILER}{task_id}\nAutopilot-Tree: {change.tree}"
    )
    return "\n\n".join(parts) + "\n"


def is_of_task(body: str, task_id: str) -> bool:
    """Tell whether a pull request's body says that this task made it."""
    return f"{_TASK_TRAILER}{task_id}" in (line.strip() for line in body.splitlines())


def check_for(given: StageInput, run_id: str, repo: RepoSpec, change: RepoChange) -> Check:
    """Write the verdict beside the commit from what was measured; a draft, or nothing measured, is neutral."""
    verification = _verification(given, repo)
    if verification is None:
        return Check(
            key=run_id, commit=change.commit, conclusion="neutral", title="nothing was measured", summary=""
        )
    proven = verification.accepted and verification.tree == change.tree
    selected, held = _tallies(verification)
    return Check(
        key=run_id,
        commit=change.commit,
        conclusion="success" if proven and not given.draft else "neutral",
        title=f"{'not reviewed; ' if given.draft else ''}{selected}; {held}",
        summary=_evidence(verification),
    )


def evidence_for(given: StageInput, repo: RepoSpec) -> tuple[str, ...]:
    """List the evidence of a repository's change as `name sha256:digest`."""
    references = []
    for seen in given.verifications:
        if seen.repo == repo.name:
            references += [seen.diff] + [
                one for receipt in seen.commands for one in (receipt.output, receipt.report)
            ]
    return tuple(f"{one.name} sha256:{one.digest}" for one in references if one is not None)


def _verification(given: StageInput, repo: RepoSpec) -> RepoVerification | None:
    return next((seen for seen in given.verifications if seen.repo == repo.name), None)


def _evidence(verification: RepoVerification) -> str:
    rows = "\n".join(_row(receipt) for receipt in verification.commands)
    selected, held = _tallies(verification)
    return (
        f"Measured on tree `{verification.tree}` by a verifier that checked it out afresh:\n\n"
        "| side | purpose | command | exit | passed | failed | skipped | seconds |\n|---|---|---|---|---|---|---|---|\n"
        f"{rows}\n\n{selected}; {held}."
    )


def _tallies(verification: RepoVerification) -> tuple[str, str]:
    selected = f"{verification.fail_to_pass_passed} of {verification.fail_to_pass_selected} selected tests pass that failed before"
    return selected, f"{verification.base_tests_held} of {verification.base_tests} tests of the base hold"


def _special_cases(seen: RepoVerification | None) -> list[str]:
    if seen is None or not seen.facts.special_cases:
        return []
    places = "; ".join(f"`{place}`" for place in seen.facts.special_cases[:5])
    return [
        f"the change holds constants of the tests that its files did not know before: {places}. "
        "Does it answer other inputs as well?"
    ]


def _row(receipt: CommandReceipt) -> str:
    command = receipt.command.replace("|", "\\|").replace("\n", " ")
    end = receipt.exit_code if receipt.exit_code is not None else receipt.ended
    tests = receipt.purpose in ("test", "fail_to_pass")
    counts = f"{receipt.passed} | {receipt.failed} | {receipt.skipped}" if tests else " | | "
    return (
        f"| {receipt.side} | {receipt.purpose} | `{command}` | {end} | {counts} | {receipt.duration_s:.1f} |"
    )
