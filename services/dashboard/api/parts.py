"""What the dashboard's routes share, built once at its start."""

from __future__ import annotations

from pathlib import Path

import msgspec

from libs.evidence.store import EvidenceStore
from libs.runtime.running import Running
from services.dashboard.api.feed import Feed
from services.dashboard.api.session import Sessions


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The live feed, the sessions, and where files are."""

    feed: Feed
    sessions: Sessions
    evidence: EvidenceStore
    incidents: Path


async def assemble(running: Running) -> Parts:
    """Build the parts of a running dashboard."""
    return Parts(
        feed=Feed(running.store),
        sessions=Sessions(running.config.session_key, running.clock),
        evidence=EvidenceStore(running.config.data / "evidence"),
        incidents=running.config.data / "incidents",
    )
