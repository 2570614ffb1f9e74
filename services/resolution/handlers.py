"""Failures come in; a retry, a plan delta or an incident goes out."""

from __future__ import annotations

from contracts.gate import GateDecided
from contracts.mode import ModeChanged
from contracts.resolution import IncidentOpened, LoopExhausted
from contracts.stage import StageCompleted
from contracts.task import ResolutionAwaited
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.resolution.domain import OpenIncident, Resolve, incident, loop, passed


async def resolve_failure(event: ResolutionAwaited, work: Work) -> None:
    """Decide how a failed task goes on."""
    for decided in await work.decide(loop, event.task_id, Resolve(awaited=event)):
        if isinstance(decided, LoopExhausted):
            wish = OpenIncident(
                incident_id=decided.incident_id,
                awaited=event,
                reason=decided.reason,
                upto=work.cause.version if work.cause else 0,
            )
            await work.decide(incident, decided.incident_id, wish)


async def close_loop(event: StageCompleted | GateDecided, work: Work) -> None:
    """Close a task's loop when what had failed passes."""
    if command := passed(event):
        await work.decide(loop, event.task_id, command)


async def file_incident(event: IncidentOpened, work: Work) -> None:
    """Have an incident filed in the background: its script is run first, which may take minutes.

    The message is done with at once. The record says which incidents are not filed, so none is forgotten.
    """
    work.parts.wake()


async def heed_mode(event: ModeChanged, running: Running) -> None:
    """Try no incident during an emergency stop: its script executes what a repository says."""
    running.parts.halt(event.mode == "emergency-stop")
