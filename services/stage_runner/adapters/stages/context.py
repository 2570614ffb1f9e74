"""What a stage works with: its input, directories, mirrors, evidence and the ledger of its effects."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import msgspec

from contracts.receipt import EvidenceRef, Problem
from contracts.stage import EffectKind, StageOutput
from contracts.task import Failure, FailureClass, RepoSpec, RunRequest, StageInput
from libs.evidence.store import EvidenceStore
from libs.forge.error import ForgeError, ForgeRefusedError, ForgeUnavailableError, UnknownBaseError
from libs.forge.port import Forge
from libs.git.broker import Broker
from libs.git.error import GitError
from libs.git.mirror import Mirror
from services.stage_runner.domain import Exceeded

if TYPE_CHECKING:
    from services.stage_runner.adapters.tokens import Tokens

Outcome = Literal["done", "adopted", "refused", "reverted"]


class StageError(Exception):
    """A stage could not do its work; carries the failure, and what it found out all the same."""

    def __init__(self, failure: Failure, output: StageOutput | None = None) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.output = output or StageOutput()


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """A run's effects by key: those whose outcome is not known, and those that are settled."""

    unknown: tuple[str, ...]
    known: tuple[str, ...]


class Ledger:
    """Records an intent before a call to the outside and its outcome after it."""

    def __init__(
        self,
        intend: Callable[[str, EffectKind, str, str], Awaitable[None]],
        settle: Callable[[str, Outcome, str], Awaitable[None]],
        recorded: Callable[[], Awaitable[Effects]],
        meant: Callable[[str], Awaitable[tuple[str, ...]]],
    ) -> None:
        #: Record that something is about to be done: key, kind, target, detail.
        self.intend = intend
        #: Record what became of it: key, outcome, reference.
        self.settle = settle
        #: List the run's effects.
        self.recorded = recorded
        #: List what this task's runs of `pr`, this one and earlier ones, have meant to do under a key: the details.
        self.meant = meant


@dataclass
class StageContext:
    """One run's surroundings."""

    request: RunRequest
    data_dir: Path
    broker: Broker
    evidence: EvidenceStore
    #: Returns the forge that keeps a repository's pull requests, by the repository's address.
    forge_for: Callable[[str], Forge]
    #: Takes the secrets that the system knows out of a text that leaves it.
    redact: Callable[[bytes], bytes]
    ledger: Ledger
    #: By which a stage calls language models.
    tokens: Tokens
    now: Callable[[], datetime]
    #: Where the verifier keeps results of bases.
    cache_dir: Path
    #: Who works on the run, as `holder_of` names it.
    holder: str
    #: The installation's program for engine `command`; a repository's policy may name another.
    agent_command: str = ""
    #: Evidence stored so far.
    kept: list[EvidenceRef] = field(default_factory=list)
    #: Limits that were reached so far.
    exceeded: list[Exceeded] = field(default_factory=list)
    _worktrees: list[tuple[Mirror, Path]] = field(default_factory=list)

    @property
    def input(self) -> StageInput:
        """Return what the stage was given."""
        return self.request.input

    @cached_property
    def directory(self) -> Path:
        """Return this holder's own directory for the run; it is gone after it."""
        return directory_of(self.data_dir, self.request.task_id, self.request.run_id, self.holder)

    @property
    def cookie(self) -> str:
        """Return the mark that every process of this run carries."""
        return cookie_of(self.data_dir, self.request.run_id)

    def redacted(self, text: str) -> str:
        """Return the text without secrets."""
        return self.redact(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    async def mirror(self, repo: RepoSpec) -> Mirror:
        """Return the private clone of a repository, current if it is the first stage, as it is otherwise."""
        known = self.broker.existing(repo.url)
        if known is not None and self.request.stage != "spec":
            return known
        return await self.broker.mirror(repo.url)

    async def worktree(self, mirror: Mirror, repo: RepoSpec, commit: str, *, purpose: str = "") -> Path:
        """Check a commit out in a worktree of the private clone; a run may have one for each purpose."""
        path = self.directory / (purpose or "change") / repo.name
        # An earlier, interrupted go of the same run may have left one.
        await mirror.remove_worktree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._worktrees.append((mirror, path))
        await mirror.add_worktree(path, commit)
        return path

    async def keep(self, name: str, content: bytes | Path, media_type: str = "text/plain") -> EvidenceRef:
        """Store evidence; the store redacts known secrets."""
        full = f"{self.request.stage}/{name}"
        if isinstance(content, Path):
            digest, size = await asyncio.to_thread(self.evidence.put_file, content)
        else:
            digest, size = await asyncio.to_thread(self.evidence.put_chunks, [content])
        reference = EvidenceRef(digest=digest, name=full, media_type=media_type, size=size)
        self.kept.append(reference)
        return reference

    async def tidy(self) -> None:
        """Remove the run's worktrees and directory."""
        for mirror, path in self._worktrees:
            await mirror.remove_worktree(path)
        # Nobody has made it who has not asked for its name; most simulated runs do not.
        if "directory" in self.__dict__ and self.directory.exists():
            await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    async def clean_up(self) -> None:
        """Clean up after a stop: nothing of the run stays behind here, and of no effect is it unknown what became of it."""
        from services.stage_runner.adapters.stages import pr

        await self.tidy()
        if self.request.stage == "pr":
            await pr.reconcile(self)


def holder_of(replica: str, epoch: int) -> str:
    """Name one claim of a replica."""
    return f"{replica}.{epoch}"


def directory_of(data_dir: Path, task_id: str, run_id: str, holder: str) -> Path:
    """Name the directory in which a holder works on a run.

    Each has its own: one that has lost the run without knowing it yet, in another container perhaps, where `sweep`
    does not see it, must neither write nor clear away what its successor works on.
    """
    return data_dir / "work" / task_id / run_id / holder


def cookie_of(data_dir: Path, run_id: str) -> str:
    """Name a run among those of all stacks of this machine.

    Task ids follow from idempotency keys, which two stacks may share: neither may kill the other's processes.
    """
    return f"{run_id}-{hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:12]}"


def fail(
    kind: FailureClass, code: str, detail: str, repo: str = "", findings: tuple[Problem, ...] = ()
) -> NoReturn:
    """End a stage with a structured failure."""
    raise StageError(Failure(kind=kind, code=code, detail=detail, repo=repo, findings=findings))


def forge_failure(error: ForgeError, repo: str) -> StageError:
    """Make a stage's failure of a forge's: what waiting does not change is impossible, the rest is transient."""
    final = isinstance(error, (ForgeRefusedError, UnknownBaseError))
    kind: FailureClass = "impossible" if final else "transient"
    code = "forge_refused" if final else "forge_failed"
    wait = error.retry_after_s if isinstance(error, ForgeUnavailableError) else 0.0
    detail = f"repository {repo}: {error}"
    return StageError(Failure(kind=kind, code=code, detail=detail, repo=repo, retry_after_s=wait))


def git_failure(error: GitError, code: str, repo: str) -> StageError:
    """Make a stage's failure of git's: what may pass is transient, the rest will not get better by itself."""
    kind: FailureClass = "transient" if error.transient else "impossible"
    return StageError(Failure(kind=kind, code=code, detail=f"repository {repo}: {error}", repo=repo))
