"""Every event there is, collected from the unions of the owning files; schemas and documents derive from it."""

from __future__ import annotations

from typing import Any, get_args

from contracts import admission, alert, budget, claim, gate, mode, resolution, stage, stall, task, workspace
from contracts.message import Event, Registry

UNIONS: dict[str, Any] = {
    "task": task.TaskEvent,
    "admission": admission.AdmissionEvent,
    "stall": stall.StallEvent,
    "mode": mode.ModeEvent,
    "claim": claim.ClaimEvent,
    "budget": budget.BudgetEvent,
    "aside": mode.AsideEvent,
    "run": stage.StageEvent,
    "review": gate.GateEvent,
    "loop": resolution.LoopEvent,
    "incident": resolution.IncidentEvent,
    "alert": alert.AlertEvent,
    "artifact": workspace.ArtifactEvent,
    "workspace": workspace.WorkspaceEvent,
    "disk": workspace.DiskEvent,
}
#: The one service that writes each category.
OWNERS: dict[str, str] = {
    "task": "scheduler",
    "admission": "scheduler",
    "stall": "scheduler",
    "mode": "scheduler",
    "claim": "scheduler",
    "budget": "scheduler",
    "aside": "scheduler",
    "run": "stage-runner",
    "review": "gate",
    "loop": "resolution",
    "incident": "resolution",
    "alert": "alerting",
    "artifact": "cleanup",
    "workspace": "cleanup",
    "disk": "cleanup",
}


def classes_of(category: str) -> tuple[type[Event], ...]:
    """List the event classes of one stream category."""
    union = UNIONS[category]
    return get_args(union) or (union,)


EVENTS: tuple[type[Event], ...] = tuple(cls for category in UNIONS for cls in classes_of(category))
registry = Registry(EVENTS)
