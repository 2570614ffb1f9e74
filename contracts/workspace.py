"""Streams `artifact`, `workspace` and `disk`: what is kept and what goes, written by cleanup."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from contracts.message import Event


class ArtifactCompressed(Event, frozen=True, kw_only=True):
    """A piece of evidence is stored compressed; its digest still names the content."""

    stream: ClassVar[str] = "artifact"
    key: ClassVar[str] = "digest"
    digest: str
    #: Bytes on disk.
    before: int
    after: int


class WorkspaceRemoved(Event, frozen=True, kw_only=True):
    """The worktrees of an ended task are gone."""

    stream: ClassVar[str] = "workspace"
    task_id: str
    #: Bytes freed.
    freed: int


class _Disk(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "disk"
    key: ClassVar[str] = "volume"
    volume: str
    used_percent: float
    free_bytes: int


class DiskPressureRaised(_Disk, frozen=True, kw_only=True):
    """The data directory's volume is fuller than it may be: evidence recording pauses."""


class DiskPressureCleared(_Disk, frozen=True, kw_only=True):
    """There is room again."""


ArtifactEvent: TypeAlias = ArtifactCompressed
WorkspaceEvent: TypeAlias = WorkspaceRemoved
DiskEvent: TypeAlias = DiskPressureRaised | DiskPressureCleared
