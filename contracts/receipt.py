"""What the verifier measured. Values that events carry; nobody but the verifier makes them."""

from __future__ import annotations

from typing import Literal

import msgspec


class EvidenceRef(msgspec.Struct, frozen=True, kw_only=True):
    """A stored artifact, addressed by its content."""

    #: SHA-256 of the content, hexadecimal.
    digest: str
    #: What it is, for people: `implement/patch.diff`, `verify/change/test.log`.
    name: str
    media_type: str = "text/plain"
    #: Bytes, uncompressed.
    size: int = 0


class CommandReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """One command that the verifier ran in the sandbox, on a tree it checked out itself."""

    #: setup | build | test | audit | fail_to_pass | smoke
    purpose: str
    command: str
    #: `base` or `change`.
    side: Literal["base", "change"]
    #: Hash of the git tree it ran on.
    tree: str
    #: None when it did not exit by itself.
    exit_code: int | None
    #: exited | wall | memory | cancelled
    ended: str
    duration_s: float
    #: Seconds of processor time of all its processes; 0 where it was not measured.
    cpu_s: float = 0.0
    peak_memory_mb: float
    output: EvidenceRef | None = None
    #: Evidence of per-test results; None for commands that are not tests.
    report: EvidenceRef | None = None
    #: Tests collected / seen passing / failing / skipped or expected to fail; 0 for commands that are not tests.
    collected: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    #: Taken from an earlier, identical run on the base instead of being run again.
    cached: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a verification did not accept a change."""

    #: A closed vocabulary, see docs/verification.md: for example `test_missing`, `test_not_passing`.
    code: str
    #: A sentence for people that names the test, file or command.
    detail: str


class RepoBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """What one repository's base showed: every command that will judge the change, run before there is one."""

    repo: str
    base_commit: str
    #: Hash of the base's tree.
    tree: str
    #: Digest of interpreters, packages and variables.
    environment: str
    commands: tuple[CommandReceipt, ...]


class ChangeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a change itself, without running it."""

    files: tuple[str, ...] = ()
    added_lines: int = 0
    removed_lines: int = 0
    #: Sum of cyclomatic complexity over the changed functions' files, change minus base; None if not measurable.
    complexity_delta: int | None = None
    #: Highest cyclomatic complexity of a function in the changed files; None if not measurable.
    complexity_max: int | None = None
    #: Paths of test, configuration or CI files that exist on the base and that the change touched without leave.
    protected_touched: tuple[str, ...] = ()
    #: Test files the change adds.
    tests_added: tuple[str, ...] = ()
    #: Whether documentation or a changelog was touched.
    docs_touched: bool = False
    #: Public names (module.name) removed by the change.
    public_removed: tuple[str, ...] = ()
    #: Signs that product code reaches for the test runner or the process instead of solving the task.
    evasions: tuple[Problem, ...] = ()
    #: Added lines that are placeholders: `pass` bodies, `...`, NotImplementedError, TODO/FIXME markers.
    placeholders: tuple[str, ...] = ()
    #: Places that hold a constant of the tests which was new to the file: `path:line: constant`. No reason to refuse.
    special_cases: tuple[str, ...] = ()


class RepoVerification(msgspec.Struct, frozen=True, kw_only=True):
    """The verifier's judgement of one repository's change, with all it rests on."""

    repo: str
    base_commit: str
    base_tree: str
    commit: str
    tree: str
    environment: str
    commands: tuple[CommandReceipt, ...]
    #: Selected `fail_to_pass` tests seen passing on the change / selected in all.
    fail_to_pass_passed: int
    fail_to_pass_selected: int
    #: Tests collected on the base / of those seen passing (or as allowed) again.
    base_tests: int
    base_tests_held: int
    facts: ChangeFacts
    #: Empty exactly when the change is accepted.
    problems: tuple[Problem, ...]
    diff: EvidenceRef | None = None

    @property
    def accepted(self) -> bool:
        """Tell whether every piece of positive evidence is there."""
        return not self.problems
