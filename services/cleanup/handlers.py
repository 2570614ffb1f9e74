"""News sets timers; timers do the work, outside of the event loop where it blocks.

The work happens before its record is committed and is repeatable: a process that dies in between does it
again when the timer, which goes with that commit, comes back.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from contracts.resolution import IncidentOpened
from contracts.stage import StageCompleted, StageFailed
from contracts.task import TaskCancelled, TaskDone, TaskGivenUp, TaskRetried
from libs.evidence.error import EvidenceError
from libs.runtime.work import Work
from services.cleanup.domain.artifact import Compressed, artifact, evidence_of
from services.cleanup.domain.workspace import Removed, workspace
from services.cleanup.ports import Parts, RemovalError

log = structlog.get_logger(__name__)

#: Seconds after the end of a task in which the stage-runner lets go of what it held.
GRACE_S = 5.0
#: Seconds before something that failed is tried again.
AGAIN_S = 60.0
_SYNTHETIC = "synthetic"


async def schedule_compression(event: StageCompleted | StageFailed | IncidentOpened, work: Work) -> None:
    """Set a timer for every piece of evidence that an event names."""
    assert work.cause is not None, f"{type(event).__name__} did not come from the record"
    due = work.cause.recorded_at + timedelta(seconds=work.running.config.config_compress_after_s)
    for digest in evidence_of(event):
        work.set_timer(f"compress:{digest}", due, "compress", f"{digest} {_mark(work)}")


async def compress_evidence(subject: str, work: Work) -> None:
    """Compress a piece of evidence that has become old."""
    digest, _, mark = subject.partition(" ")
    parts: Parts = work.parts
    try:
        sizes = await asyncio.to_thread(parts.evidence.compress, digest)
    except EvidenceError as error:
        log.error("evidence_damaged", digest=digest, error=str(error))  # it stays as it is, for a person
        return
    except OSError as error:
        log.warning("evidence_not_compressed", digest=digest, error=str(error))
        work.set_timer(f"compress:{digest}", work.now + timedelta(seconds=AGAIN_S), "compress", subject)
        return
    if sizes is not None and mark != _SYNTHETIC:
        await work.decide(artifact, digest, Compressed(digest=digest, before=sizes[0], after=sizes[1]))


async def schedule_removal(event: TaskDone | TaskCancelled | TaskGivenUp | TaskRetried, work: Work) -> None:
    """Set a timer when a task ends; a task that goes on keeps its workspace.

    One consumer for both, because only within it do they come in the order in which they happened.
    """
    assert work.cause is not None, f"{type(event).__name__} did not come from the record"
    key = f"remove:{event.task_id}"
    if isinstance(event, TaskRetried):
        work.clear_timer(key)
    else:
        subject = f"{event.task_id} {work.cause.version} {_mark(work)}"
        work.set_timer(key, work.now + timedelta(seconds=GRACE_S), "remove", subject)


async def remove_workspace(subject: str, work: Work) -> None:
    """Remove the workspace of a task that has ended and has not been taken up again."""
    task_id, ended, mark = subject.split(" ")
    parts: Parts = work.parts
    try:
        freed = await parts.workspaces.remove(task_id, int(ended))
    except RemovalError as error:
        log.warning("workspace_not_removed", task_id=task_id, error=str(error))
        work.set_timer(f"remove:{task_id}", work.now + timedelta(seconds=AGAIN_S), "remove", subject)
        return
    if freed is not None and mark != _SYNTHETIC:
        nth = (await work.load(workspace, task_id)).removals + 1
        await work.decide(workspace, task_id, Removed(task_id=task_id, nth=nth, freed=freed))


def _mark(work: Work) -> str:
    """Spell for a timer whether its cause was simulated: such work is done, but recorded nowhere as real."""
    return _SYNTHETIC if work.cause is not None and work.cause.meta.synthetic else "real"
