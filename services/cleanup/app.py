"""The cleanup service's composition root."""

from __future__ import annotations

from contracts.catalogue import registry
from libs.evidence.store import EvidenceStore
from libs.git.broker import Broker
from libs.runtime.running import Running
from libs.runtime.service import Follower, Service
from services.cleanup import handlers
from services.cleanup.adapters.diskwatch import DiskWatch
from services.cleanup.adapters.workspaces import TaskWorkspaces
from services.cleanup.domain.artifact import artifact
from services.cleanup.domain.disk import disk
from services.cleanup.domain.workspace import workspace
from services.cleanup.ports import Parts

#: Seconds that a removal waits for a mirror that somebody else uses.
GIT_TIMEOUT_S = 20.0


async def assemble(running: Running) -> Parts:
    """Build what the handlers need: evidence and workspaces of the data directory."""
    data = running.config.data
    workspaces = TaskWorkspaces(data, Broker(data, timeout_s=GIT_TIMEOUT_S), running.store)
    return Parts(evidence=EvidenceStore(data / "evidence"), workspaces=workspaces)


async def watch_disk(running: Running) -> None:
    """Look at the disk for as long as this process leads."""
    parts: Parts = running.parts
    await DiskWatch(running, parts.evidence).run()


service = Service(
    name="cleanup",
    registry=registry,
    owns=(artifact, workspace, disk),
    follows=(Follower(handlers.schedule_compression), Follower(handlers.schedule_removal)),
    timers={"compress": handlers.compress_evidence, "remove": handlers.remove_workspace},
    assemble=assemble,
    workers=(watch_disk,),
)
