"""Failures come in; a retry, a plan delta or an incident goes out."""

from __future__ import annotations

from contracts.gate import GateDecided
from contracts.resolution import IncidentOpened, LoopExhausted
from contracts.stage import StageCompleted
from contracts.task import ResolutionAwaited
from libs.messaging.outcome import Outcome, Retry
from libs.runtime.work import Work
from services.resolution.domain import FileIncident, OpenIncident, Resolve, incident, loop, passed


async def resolve_failure(event: ResolutionAwaited, work: Work) -> None:
    """Decide how a failed task goes on."""
    for decided in await work.decide(loop, event.task_id, Resolve(awaited=event)):
        if isinstance(decided, LoopExhausted):
            await work.decide(
                incident,
                decided.incident_id,
                OpenIncident(incident_id=decided.incident_id, awaited=event, reason=decided.reason),
            )


async def close_loop(event: StageCompleted | GateDecided, work: Work) -> None:
    """Close a task's loop when what had failed passes."""
    if command := passed(event):
        await work.decide(loop, event.task_id, command)


async def file_incident(event: IncidentOpened, work: Work) -> Outcome | None:
    """Write the MRFC directory; writing it again after a crash gives the same directory."""
    try:
        path, reproducible = await work.parts.write(event)
    except OSError as error:
        # The disk is full or away: it is written when it is back, however long that takes.
        return Retry(after_s=5.0, reason=f"the incident directory cannot be written: {error}", counted=False)
    await work.decide(incident, event.incident_id, FileIncident(path=path, reproducible=reproducible))
    return None
