"""What concerns no task: mode, limits, disks."""

from __future__ import annotations

from contracts.admission import LimitChanged
from contracts.message import Recorded
from contracts.mode import ModeChanged
from contracts.workspace import DiskEvent, DiskPressureRaised
from services.dashboard.projections.documents import DiskDocument, LimitDocument, ModeDocument


def mode_of(recorded: Recorded, event: ModeChanged) -> ModeDocument:
    """Show the mode that an event has brought."""
    return ModeDocument(
        mode=event.mode,
        before=event.before,
        actor=event.actor,
        reason=event.reason,
        since=recorded.recorded_at,
        position=recorded.position,
    )


def limit_of(recorded: Recorded, event: LimitChanged) -> LimitDocument:
    """Show how many tasks may hold a slot."""
    return LimitDocument(max_concurrent=event.max_concurrent, actor=event.actor, since=recorded.recorded_at)


def disk_of(recorded: Recorded, event: DiskEvent) -> DiskDocument:
    """Show how full a volume is."""
    return DiskDocument(
        volume=event.volume,
        pressure=isinstance(event, DiskPressureRaised),
        used_percent=event.used_percent,
        free_bytes=event.free_bytes,
        since=recorded.recorded_at,
    )
