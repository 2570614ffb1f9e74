"""Works out what the script of an incident has to see for the failure to be the recorded one, and what no script sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from contracts.receipt import CommandReceipt, Problem
from contracts.resolution import IncidentOpened
from contracts.task import RepoSpec

#: What is compared; the functions of `reproduce.sh` that do it have these names.
Kind = Literal[
    "source_unreadable",
    "unreadable",
    "does_not_apply",
    "adds_submodule",
    "changes_nothing",
    "touches",
    "judged",
    "set_up_exits",
    "exits",
    "fails",
    "hangs",
    "swells",
]
#: Findings that the exit codes and failing tests of commands show.
SHOWN_BY_COMMANDS = frozenset(
    {
        "base_unusable",
        "collection_failed",
        "command_failed",
        "empty_change",
        "limit_reached",
        "not_failing_on_base",
        "test_not_passing",
    }
)
#: Failures about the repository's address; its base is not known then.
_SOURCE = frozenset({"repository_unusable", "base_not_found"})
#: Kinds that execute commands of the repository.
HEAVY: frozenset[Kind] = frozenset({"set_up_exits", "exits", "fails", "hangs", "swells"})


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison."""

    repo: str
    kind: Kind
    #: `base` before the change is applied, `change` after it (or instead of applying it, for a patch that is refused).
    side: Literal["base", "change"] = "change"
    #: The command, path, tree or failure code that it is about.
    about: str = ""
    exit_code: int | None = None


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """All comparisons, and what is left to the verifier and the gates."""

    checks: tuple[Check, ...] = ()
    #: Findings that no check shows.
    unseen: tuple[Problem, ...] = ()
    #: Why nothing can be tried; empty if something can.
    nothing: str = ""

    @property
    def heavy(self) -> bool:
        """Tell whether commands of a repository are executed."""
        return any(check.kind in HEAVY for check in self.checks)

    def of(self, repo: str, side: str) -> tuple[Check, ...]:
        """List one side's checks of a repository."""
        return tuple(check for check in self.checks if (check.repo, check.side) == (repo, side))


def expect(incident: IncidentOpened) -> Expectation:
    """Read an incident as comparisons."""
    if incident.label in _SOURCE and not incident.bases:
        return Expectation(
            checks=tuple(
                Check(repo=repo.name, kind="source_unreadable", about=incident.label)
                for repo in incident.repos
                if not incident.repo or repo.name == incident.repo
            )
        )
    if incident.kind in ("transient", "environmental"):
        return Expectation(
            nothing=f"the failure ({incident.label}) came from outside of the repository",
            unseen=incident.findings,
        )
    if kind := _refused_patch(incident):
        return Expectation(
            checks=tuple(
                Check(repo=repo.name, kind=kind)
                for repo in incident.repos
                if (not incident.repo or repo.name == incident.repo) and _has_patch(incident, repo)
            )
        )
    # A command that is both a test and one to fix need not be run twice.
    checks = tuple(dict.fromkeys(check for repo in incident.repos for check in _checks(incident, repo)))
    unseen = tuple(found for found in incident.findings if _is_unseen(found, checks))
    if not incident.changes and not incident.receipts and incident.label != "setup_failed":
        # That the task is still open says nothing about why an engine made nothing of it.
        unseen = (Problem(code=incident.label, detail=incident.reason), *unseen)
    return Expectation(
        checks=checks,
        unseen=unseen,
        nothing="" if checks else f"no command of the task shows this failure ({incident.label})",
    )


def _refused_patch(incident: IncidentOpened) -> Kind | None:
    """Name how a patch was refused that never became a commit."""
    if incident.changes or incident.patch is None:
        return None
    match incident.label:
        case "patch_malformed":
            return "unreadable"
        case "patch_does_not_apply":
            return "adds_submodule" if "adds a submodule" in incident.reason else "does_not_apply"
        case "empty_change":
            return "changes_nothing"
        case _:
            return None


def _has_patch(incident: IncidentOpened, repo: RepoSpec) -> bool:
    return not isinstance(incident.patch, dict) or repo.name in incident.patch


def _checks(incident: IncidentOpened, repo: RepoSpec) -> Iterator[Check]:
    receipts = [receipt for name, receipt in incident.receipts if name == repo.name]
    change = next((change for change in incident.changes if change.repo == repo.name), None)
    yield from (check for receipt in receipts if (check := _of_receipt(repo, receipt)))
    if change is None and incident.label == "setup_failed" and repo.setup:
        yield Check(repo=repo.name, kind="fails", side="base", about=repo.setup)
        return
    if change is None and receipts:
        return
    if change is None:
        # Nothing was made of the task: what it asks for is still asked for.
        yield from (
            Check(repo=repo.name, kind="fails", side="base", about=command) for command in repo.fail_to_pass
        )
        return
    if incident.stage == "monitor" and incident.label == "smoke_failed" and repo.monitor.smoke:
        yield Check(repo=repo.name, kind="fails", about=repo.monitor.smoke)
    if any(found.code == "empty_change" for found in incident.findings):
        yield Check(repo=repo.name, kind="changes_nothing")
        return
    named = [path for path in change.files if any(_names(found, path) for found in incident.findings)]
    yield from (Check(repo=repo.name, kind="touches", about=path) for path in named)
    if not receipts and incident.findings:
        yield Check(repo=repo.name, kind="judged", about=change.tree)


def _of_receipt(repo: RepoSpec, receipt: CommandReceipt) -> Check | None:
    """Compare how a command ended; None for one that nobody should start again, such as a storm of processes."""
    kind: Kind
    match receipt.purpose, receipt.ended:
        case _, "wall":
            kind = "hangs"
        case _, "memory":
            kind = "swells"
        case "setup", "exited":
            kind = "set_up_exits"
        case _, "exited":
            kind = "exits"
        case _:
            return None
    return Check(
        repo=repo.name,
        kind=kind,
        side=receipt.side,
        about=receipt.command,
        exit_code=receipt.exit_code,
    )


def _names(found: Problem, path: str) -> bool:
    """Tell whether a finding that no command shows is about a file."""
    if found.code in SHOWN_BY_COMMANDS:
        return False
    words = found.detail.replace("`", " ").replace("'", " ").replace(",", " ").split()
    return any(word.rstrip(".") == path or word.startswith(f"{path}:") for word in words)


def _is_unseen(found: Problem, checks: tuple[Check, ...]) -> bool:
    if found.code not in SHOWN_BY_COMMANDS:
        return True
    return not any(check.kind in HEAVY or check.kind == "changes_nothing" for check in checks)
