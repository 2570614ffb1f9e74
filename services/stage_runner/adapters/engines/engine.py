"""What the stages `plan` and `implement` need of an engine; everything else of a change is the same for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from contracts.task import RepoSpec
from libs.git.mirror import Mirror
from libs.git.worktree import Worktree
from services.stage_runner.adapters.stages.context import StageContext


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is going to do in one repository, as far as it can tell beforehand."""

    #: Files it will touch, or, where it cannot name them, patterns it stays within.
    files: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    #: SHA-256 of the patch, where it is known already.
    patch_digest: str = ""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine edits: a worktree of the private clone, fresh at the base commit."""

    mirror: Mirror
    worktree: Worktree
    base: str


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine has to say about its edit; the edit itself is what differs in the worktree."""

    #: What a reviewer has to know, in sentences.
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine."""

    #: How it goes about a task, for the plan.
    approach: str
    intend: Callable[[StageContext, RepoSpec, str], Awaitable[Intent]]
    #: Edits the worktree. Ends the stage with a StageError where it cannot; raises GitError and PatchError.
    edit: Callable[[StageContext, RepoSpec, Site], Awaitable[Edit]]
