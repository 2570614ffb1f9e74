"""The scheduler alone over the in-memory record: a test is everybody else, and says what runs, gates and resolution say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from contracts.message import Recorded
from contracts.resolution import IncidentFiled, PlanDeltaRecorded, StageRetryAdvised
from contracts.task import GateRequested, PlanDelta, ResolutionAwaited, RunRequest, TaskSpec
from libs.eventstore.store import Cursor
from libs.testing.world import World
from services.scheduler.app import service
from services.scheduler.domain.commands import Submit
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from services.scheduler.handlers import news as arriving
from services.scheduler.handlers import wishes as wished
from tests.system.walking import submit


class LoneScheduler:
    """One scheduler, and what it has asked of others without having been answered."""

    def __init__(self) -> None:
        self._loop = asyncio.Runner()
        self.world = World([service], "nowhere")
        self._loop.run(self.world.start("scheduler"))
        self._seen = Cursor()
        self.events: list[Recorded] = []
        #: By run, by review, by task and number. What was asked for the sake of a task that has ended is answered, too.
        self.runs: dict[str, RunRequest] = {}
        self.reviews: dict[str, GateRequested] = {}
        self.troubles: dict[str, ResolutionAwaited] = {}
        #: Who waits in the queue and who holds a slot, as the events tell it.
        self.queued: set[str] = set()
        self.holders: set[str] = set()

    def close(self) -> None:
        """End it as after a crash."""
        self._loop.run(self.world.crash("scheduler"))
        self._loop.close()

    def do(self, act: Callable[[Any], Awaitable[Any]]) -> Any:
        """Let it do something, in one append."""
        result = self._loop.run(self.world.perform("scheduler", act))
        self._look()
        return result

    def restart(self) -> None:
        """Kill it and start it again: it knows nothing but the record."""
        self._loop.run(self.world.crash("scheduler"))
        self._loop.run(self.world.start("scheduler"))

    def submit(self, task_id: str, wanted: TaskSpec) -> None:
        """Submit a task."""
        self._loop.run(submit(self.world, task_id, wanted))
        self._look()

    def submit_all(self, wanted: dict[str, TaskSpec], on_failed: Any) -> None:
        """Submit tasks together; each names the others by their ids."""

        async def act(work: Any) -> None:
            wishes = [
                Submit(
                    task_id=task_id,
                    spec=spec,
                    depends_on=spec.depends_on,
                    request_digest=task_id,
                    now=work.now,
                    batch="b",
                    on_failed_dependency=on_failed,
                )
                for task_id, spec in wanted.items()
            ]
            await wished.submit(work, wishes)

        self.do(act)

    def tell(self, news: Any) -> None:
        """Bring news; what was asked about it is answered."""
        match news:
            case StageRetryAdvised():
                self.troubles.pop(f"{news.task_id} {news.number}")
                self.do(lambda work: arriving.plan_retry(news, work))
                return
            case PlanDeltaRecorded() | IncidentFiled():
                self.troubles.pop(f"{news.task_id} {news.number}")
            case _:
                for asked, name in ((self.runs, "run_id"), (self.reviews, "review_id")):
                    asked.pop(getattr(news, name, ""), None)  # type: ignore[attr-defined]
        self.do(lambda work: arriving.advance_task(news, work))

    def tell_again(self, news: Any) -> None:
        """Bring news that has been told before."""
        if not isinstance(news, StageRetryAdvised):
            self.do(lambda work: arriving.advance_task(news, work))

    def pass_time(self, seconds: float) -> None:
        """Let time pass; timers that are due are delivered."""
        self._loop.run(self.world.pass_time(seconds))
        self._look()

    def state(self, task_id: str) -> Task:
        """Look at a task."""
        state: Task = self._loop.run(self.world.perform("scheduler", lambda work: work.load(task, task_id)))
        return state

    def _look(self) -> None:
        fresh = self._loop.run(self.world.store.read_all(self._seen, limit=1_000_000))
        for event in fresh:
            self._seen = Cursor(xid=event.xid, position=event.position)
            self._note(event.type, event.event)
        self.events += fresh

    def _note(self, type_: str, fact: Any) -> None:
        match type_:
            case "stage_requested" | "workspace_requested":
                self.runs[fact.run_id] = fact
            case "gate_requested":
                self.reviews[fact.review_id] = fact
            case "resolution_awaited":
                self.troubles[f"{fact.task_id} {fact.number}"] = fact
            case "task_enqueued":
                self.queued.add(fact.task_id)
            case "task_dequeued":
                self.queued.discard(fact.task_id)
            case "slot_granted":
                self.queued.discard(fact.task_id)
                self.holders.add(fact.task_id)
            case "slot_released":
                self.holders.discard(fact.task_id)


def advice(trouble: ResolutionAwaited, after_s: float) -> StageRetryAdvised:
    """Advise to run the stage again after a while."""
    return StageRetryAdvised(
        task_id=trouble.task_id,
        stage=trouble.stage,
        run_id=trouble.cause,
        retry=1,
        after_s=after_s,
        number=trouble.number,
    )


def delta(trouble: ResolutionAwaited, loop: int) -> PlanDeltaRecorded:
    """Find another plan."""
    found = PlanDelta(loop=loop, different="another", answers=(), signature=f"s{loop}")
    return PlanDeltaRecorded(task_id=trouble.task_id, delta=found, number=trouble.number)


def incident(trouble: ResolutionAwaited, place: int) -> IncidentFiled:
    """Give the task up."""
    return IncidentFiled(
        incident_id=f"i{place}-{trouble.task_id}",
        task_id=trouble.task_id,
        path="incidents/i",
        reproducible=False,
        reason="given up",
        number=trouble.number,
    )


def pairs(names: Iterable[str], link: int) -> dict[str, tuple[str, ...]]:
    """Let each of some tasks depend on the one `link` places before it."""
    listed = list(names)
    return {
        name: (listed[place - link],) if link and place >= link else () for place, name in enumerate(listed)
    }
