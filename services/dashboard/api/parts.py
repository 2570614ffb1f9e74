"""What the dashboard's routes share, built once at its start."""

from __future__ import annotations

from pathlib import Path

import msgspec

from libs.evidence.store import EvidenceStore
from libs.runtime.running import Running
from services.dashboard.adapters.waits import Waits
from services.dashboard.api.feed import Feed
from services.dashboard.api.session import Sessions


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The live feed, the sessions, where files are, and what the scheduler says."""

    feed: Feed
    sessions: Sessions
    evidence: EvidenceStore
    incidents: Path
    waits: Waits


async def assemble(running: Running) -> Parts:
    """Build the parts of a running dashboard."""
    return Parts(
        feed=Feed(running.store),
        sessions=Sessions(running.config.session_key, running.clock),
        evidence=EvidenceStore(running.config.data / "evidence"),
        incidents=running.config.data / "incidents",
        waits=Waits(running.config.scheduler_url, running.config.api_token, running.clock),
    )
