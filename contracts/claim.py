"""Stream `claim`: which tasks are about to change which files, written by the scheduler's leader."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from contracts.message import Event


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """Files of one repository that an approved plan is going to change, on one base branch."""

    repo_url: str
    #: The branch's name, or a commit where the base is no branch: changes to different branches do not meet.
    base: str
    paths: tuple[str, ...]


class _Claim(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "claim"
    key: ClassVar[str] = "table"
    #: There is one table of claims.
    table: str = "main"


class FilesClaimed(_Claim, frozen=True, kw_only=True):
    """A task may change files; whoever plans to change one of them waits for it."""

    task_id: str
    files: tuple[Files, ...]
    #: Tasks that it has waited for and whose changes are there: its tree has to contain them.
    after: tuple[str, ...] = ()


class FilesAwaited(_Claim, frozen=True, kw_only=True):
    """A task waits in line for files that others change, or wait for themselves."""

    task_id: str
    files: tuple[Files, ...]
    #: The tasks it waits for.
    behind: tuple[str, ...]
    #: The files that make it wait, for people: some of them.
    shared: tuple[str, ...]


class FilesReleased(_Claim, frozen=True, kw_only=True):
    """A task changes these files no more, or waits for them no more."""

    task_id: str
    #: Whether its change is there: in a pull request that is open or merged.
    delivered: bool
    reason: str


ClaimEvent: TypeAlias = FilesClaimed | FilesAwaited | FilesReleased
