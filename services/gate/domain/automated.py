"""Gate 1: receipts. Positive evidence for exactly the tree that would become the pull request, or rejection."""

from __future__ import annotations

from contracts.receipt import CommandReceipt, RepoVerification
from contracts.task import RepoChange, RepoSpec, StageInput
from services.gate.domain.finding import Findings, finding


def judge(subject: StageInput) -> Findings:
    """Find what the receipts do not prove."""
    changes = {change.repo: change for change in subject.changes}
    receipts = {seen.repo: seen for seen in subject.verifications}
    for repo in subject.spec.repos:
        change, seen = changes.get(repo.name), receipts.get(repo.name)
        if change is None or seen is None:
            yield finding("no_evidence", f"there is no change or no receipt for {repo.name}")
            continue
        yield from _bound(change, seen)
        yield from seen.problems
        yield from _proven(repo, seen)


def _bound(change: RepoChange, seen: RepoVerification) -> Findings:
    if (seen.commit, seen.tree, seen.base_commit) != (change.commit, change.tree, change.base_commit):
        yield finding(
            "stale_receipt",
            f"the receipt for {change.repo} is of tree {seen.tree[:12]}, the change is {change.tree[:12]}",
        )
    if seen.tree == seen.base_tree:
        yield finding("empty_change", f"the tree of {change.repo} is the same as before")
    for receipt in seen.commands:
        expected = seen.tree if receipt.side == "change" else seen.base_tree
        if receipt.tree != expected:
            yield finding(
                "stale_receipt",
                f"{receipt.command!r} ran on tree {receipt.tree[:12]}, not on {expected[:12]}",
            )


def _proven(repo: RepoSpec, seen: RepoVerification) -> Findings:
    """Count the receipts themselves instead of taking the summary's word for it."""
    ran = [receipt for receipt in seen.commands if receipt.side == "change"]
    wanted = {"build": repo.verify.build, "test": repo.verify.test, "audit": repo.verify.audit}
    for purpose, command in wanted.items():
        receipt = _has(ran, purpose, command) if command else None
        if command and receipt is None:
            yield finding(
                "no_evidence", f"there is no receipt for {purpose} {command!r} on the change of {repo.name}"
            )
        elif receipt is not None and (receipt.ended != "exited" or (receipt.exit_code and purpose != "test")):
            # A test command may exit with 1 over known failures; a build or an audit may not.
            yield finding(
                "command_failed",
                f"{purpose} {command!r} did not pass on the change of {repo.name}: "
                f"{receipt.exit_code if receipt.ended == 'exited' else receipt.ended}",
            )
    for command in repo.fail_to_pass:
        receipt = _has(ran, "fail_to_pass", command)
        if receipt is None or receipt.passed == 0 or receipt.exit_code != 0:
            yield finding(
                "no_evidence", f"no test of {command!r} was seen passing on the change of {repo.name}"
            )
        base = _has([seen_ for seen_ in seen.commands if seen_.side == "base"], "fail_to_pass", command)
        if base is None or base.exit_code == 0:
            yield finding(
                "not_failing_on_base", f"{command!r} was not seen failing on the base of {repo.name}"
            )
    tests = [receipt for receipt in ran if receipt.purpose in ("test", "fail_to_pass")]
    if not any(receipt.passed for receipt in tests):
        yield finding("no_evidence", f"no test was seen passing on the change of {repo.name}")
    if seen.base_tests_held < seen.base_tests:
        yield finding(
            "test_not_passing",
            f"{seen.base_tests - seen.base_tests_held} of {seen.base_tests} tests of the base of {repo.name} no longer hold",
        )
    if seen.fail_to_pass_passed < seen.fail_to_pass_selected:
        yield finding(
            "test_not_passing",
            f"only {seen.fail_to_pass_passed} of {seen.fail_to_pass_selected} selected tests of {repo.name} pass",
        )


def _has(receipts: list[CommandReceipt], purpose: str, command: str) -> CommandReceipt | None:
    return next((seen for seen in receipts if seen.purpose == purpose and seen.command == command), None)
