"""Holds what goes into a verification and what comes out of it.

VerificationError
├── RequestError       the task asks for something that cannot be verified
└── UnreadableError    code cannot be read whole, so nobody can say what it does
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

Side = Literal["base", "change"]
Purpose = Literal["setup", "build", "test", "audit", "fail_to_pass", "smoke"]
#: `hidden` marks a test that raised while its report says otherwise.
Status = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed", "unknown", "hidden"]


class VerificationError(Exception):
    """A verification could not be made."""


class RequestError(VerificationError):
    """The task asks for something that cannot be verified."""


class UnreadableError(VerificationError):
    """Code cannot be read whole."""


class Code(StrEnum):
    """Why a verification did not accept a change; the vocabulary is closed and explained in the docs."""

    NOTHING_TO_VERIFY = "nothing_to_verify"
    EMPTY_CHANGE = "empty_change"
    COMMAND_FAILED = "command_failed"
    LIMIT_REACHED = "limit_reached"
    BASE_UNUSABLE = "base_unusable"
    NOT_OBSERVABLE = "not_observable"
    NOT_FAILING_ON_BASE = "not_failing_on_base"
    NO_TESTS_SELECTED = "no_tests_selected"
    TEST_MISSING = "test_missing"
    TEST_NOT_PASSING = "test_not_passing"
    TEST_SKIPPED = "test_skipped"
    TEST_CODE_REPLACED = "test_code_replaced"
    COLLECTION_FAILED = "collection_failed"
    RUN_INCOMPLETE = "run_incomplete"
    EXIT_DISAGREES = "exit_disagrees"
    REPORT_FORGED = "report_forged"
    RUNNER_TAMPERED = "runner_tampered"
    CONTROL_PASSED = "control_passed"
    CONTROL_MISSING = "control_missing"
    MODULE_SHADOWED = "module_shadowed"
    PROTECTED_CHANGED = "protected_changed"
    CONFIGURATION_ADDED = "configuration_added"
    LINK_LEAVES_TREE = "link_leaves_tree"
    SETUP_TAMPERED = "setup_tampered"
    EVASION = "evasion"
    UNREADABLE_CODE = "unreadable_code"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a verification did not accept a change."""

    code: Code
    #: A sentence for people that names the test, file or command.
    detail: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A stored artifact, addressed by its content."""

    #: SHA-256 of the content, hexadecimal.
    digest: str
    name: str
    media_type: str = "text/plain"
    #: Bytes, uncompressed.
    size: int = 0


#: Stores a file or some bytes under a name that people can read; the bytes are gone from `workdir` afterwards.
Keep = Callable[[str, Path | bytes, str], Awaitable[Evidence]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Ceilings of one command."""

    #: Seconds of wall-clock time.
    wall_s: float = 900
    memory_mb: int = 1_024
    #: How many commands of one verification run at the same time.
    parallel: int = 4


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One repository's change and the commands that judge it."""

    repo: str
    #: Names the repository in the cache of base results; equal keys are the same repository.
    repo_key: str
    base_commit: str
    commit: str
    setup: str | None = None
    build: str | None = None
    test: str | None = None
    audit: str | None = None
    fail_to_pass: tuple[str, ...] = ()
    known_failures: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    #: Existing tests that the change may edit: paths or glob patterns.
    may_change_tests: tuple[str, ...] = ()
    #: Path of the JUnit XML that the test commands write, for runners other than pytest.
    report: str | None = None
    limits: Limits = msgspec.field(default_factory=Limits)

    def commands(self) -> tuple[tuple[Purpose, str], ...]:
        """List what runs after the setup, in the order in which it is reported."""
        named: list[tuple[Purpose, str]] = []
        for purpose, command in (("build", self.build), ("test", self.test), ("audit", self.audit)):
            if command:
                named.append((purpose, command))  # type: ignore[arg-type]
        return (*named, *(("fail_to_pass", command) for command in self.fail_to_pass))


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One command that the verifier ran in the sandbox, on a tree it checked out itself."""

    purpose: Purpose
    command: str
    side: Side
    #: Hash of the git tree it ran on.
    tree: str
    #: None when it did not exit by itself.
    exit_code: int | None
    #: exited | wall | memory | cancelled
    ended: str
    duration_s: float
    cpu_s: float = 0.0
    peak_memory_mb: float
    output: Evidence | None = None
    report: Evidence | None = None
    collected: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    cached: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a change itself, without running it."""

    files: tuple[str, ...] = ()
    added_lines: int = 0
    removed_lines: int = 0
    complexity_delta: int | None = None
    complexity_max: int | None = None
    protected_touched: tuple[str, ...] = ()
    tests_added: tuple[str, ...] = ()
    docs_touched: bool = False
    public_removed: tuple[str, ...] = ()
    evasions: tuple[Problem, ...] = ()
    placeholders: tuple[str, ...] = ()
    special_cases: tuple[str, ...] = ()


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of one repository's change, with all it rests on."""

    repo: str
    base_commit: str
    base_tree: str
    commit: str
    tree: str
    #: Digest of interpreter, packages, variables, set-up and limits.
    environment: str
    commands: tuple[Receipt, ...]
    fail_to_pass_passed: int
    fail_to_pass_selected: int
    base_tests: int
    base_tests_held: int
    facts: Facts
    #: Empty exactly when the change is accepted.
    problems: tuple[Problem, ...]
    diff: Evidence | None = None

    @property
    def accepted(self) -> bool:
        """Tell whether every piece of positive evidence is there."""
        return not self.problems
