"""What the verifier would say of a change that is right."""

from __future__ import annotations

from contracts.receipt import ChangeFacts, CommandReceipt, RepoVerification
from contracts.task import RepoChange


def verification(change: RepoChange) -> RepoVerification:
    """Make receipts for a change."""
    receipt = CommandReceipt(
        purpose="test",
        command="pytest -q",
        side="change",
        tree=change.tree,
        exit_code=0,
        ended="exited",
        duration_s=1.0,
        peak_memory_mb=1.0,
        collected=2,
        passed=2,
    )
    return RepoVerification(
        repo=change.repo,
        base_commit=change.base_commit,
        base_tree="1" * 40,
        commit=change.commit,
        tree=change.tree,
        environment="e",
        commands=(receipt,),
        fail_to_pass_passed=1,
        fail_to_pass_selected=1,
        base_tests=2,
        base_tests_held=2,
        facts=ChangeFacts(),
        problems=(),
    )
