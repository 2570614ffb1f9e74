"""Cleanup and those whose events it follows, over one data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contracts.catalogue import registry
from contracts.message import Event
from contracts.receipt import EvidenceRef
from contracts.stage import StageCompleted, StageOutput
from contracts.task import RepoSpec, TaskSpec, TaskSubmitted
from libs.eventsourcing.decider import Decider
from libs.evidence.store import EvidenceStore
from libs.runtime.service import Service
from libs.testing.world import World
from services.cleanup.app import service


def fact(category: str) -> Decider[Event, None]:
    """Make an aggregate that records whatever it is told, as its owner would after deciding."""
    return Decider(category, None, lambda event, _: [event], lambda state, _: state)


OTHERS = {
    "task": Service(name="scheduler", registry=registry, owns=(fact("task"),)),
    "run": Service(name="stage-runner", registry=registry, owns=(fact("run"),)),
}


class Scene:
    """A world with cleanup in it, and a pen for the others."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.evidence = EvidenceStore(data_dir / "evidence")
        self.world = World((service, *OTHERS.values()), str(data_dir))

    async def record(self, *events: Event, synthetic: bool = False, settle: bool = True) -> None:
        """Record events as their owners would, and let the services take notice of them."""
        for event in events:

            async def act(work: Any, event: Event = event) -> None:
                await work.decide(fact(event.stream), getattr(event, event.key), event)

            await self.world.running[OTHERS[event.stream].name].perform(act, synthetic=synthetic)
        if settle:
            await self.world.settle()

    async def of_type(self, type_: str) -> list[Any]:
        """List the events of a type."""
        return [recorded.event for recorded in await self.world.events(type_)]

    def submitted(self, task_id: str, *urls: str) -> TaskSubmitted:
        """Say that a task on some repositories was submitted."""
        repos = tuple(RepoSpec(name=f"r{place}", url=url) for place, url in enumerate(urls or ("/nowhere",)))
        spec = TaskSpec(title="t", repos=repos)
        return TaskSubmitted(task_id=task_id, spec=spec, submitted_at=self.world.clock.now())

    def completed(self, *digests: str, task_id: str = "t1") -> StageCompleted:
        """Say that a stage has left evidence."""
        evidence = tuple(EvidenceRef(digest=digest, name="log") for digest in digests)
        return StageCompleted(
            run_id=f"{task_id}-verify-1",
            task_id=task_id,
            stage="verify",
            attempt=1,
            evidence=evidence,
            output=StageOutput(),
            duration_s=1.0,
        )
