"""The order of starts is that of the one-page model, whatever comes, goes and is changed meanwhile."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.admission import AdmissionEvent, DependencyBroken
from libs.runtime.snapshots import decode, encode
from services.scheduler.domain.admission import (
    AdmissionCommand,
    Enqueue,
    Grant,
    Leave,
    Limit,
    PauseQueue,
    Reprioritise,
    ResumeQueue,
    Settle,
    WeighQueue,
    admission,
)
from services.scheduler.domain.pool import Admission
from tests.unit.scheduler.poolmodel import RANKS, Model

QUEUES = ("a", "b", "c")


class Twins(RuleBasedStateMachine):
    """The decider and the model are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.model = Admission(limit=3), Model()
        #: Every task there ever was, by number: it may need those with smaller ones, so that there is no cycle.
        self.known: list[str] = []

    def tell(self, wish: AdmissionCommand) -> list[AdmissionEvent]:
        events = list(admission.decide(wish, self.state))
        self.state = admission.fold(events, self.state)
        return events

    def put(self, number: int, data: st.DataObject) -> None:
        open_ = [
            name for name in self.known[:number] if name in self.model.tasks or name in self.state.running
        ]
        needs = data.draw(st.lists(st.sampled_from(open_), unique=True, max_size=3)) if open_ else []
        priority, queue = data.draw(st.sampled_from(RANKS)), data.draw(st.sampled_from(QUEUES))
        self.tell(
            Enqueue(task_id=self.known[number], priority=priority, queue=queue, depends_on=tuple(needs))
        )
        self.model.enqueue(self.known[number], priority, queue, needs)

    @rule(data=st.data())
    def come(self, data: st.DataObject) -> None:
        self.known.append(f"t{len(self.known)}")
        self.put(len(self.known) - 1, data)

    @rule(count=st.integers(5, 25), priority=st.sampled_from(RANKS), queue=st.sampled_from(QUEUES))
    def flood(self, count: int, priority: Any, queue: str) -> None:
        for _ in range(count):
            self.known.append(f"t{len(self.known)}")
            self.tell(Enqueue(task_id=self.known[-1], priority=priority, queue=queue))
            self.model.enqueue(self.known[-1], priority, queue, ())

    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        gone = [
            number
            for number, name in enumerate(self.known)
            if name not in self.model.tasks and name not in self.state.running
        ]
        if gone:
            self.put(data.draw(st.sampled_from(gone)), data)

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data(), outcome=st.sampled_from(["none", "incident", "met"]))
    def go(self, data: st.DataObject, outcome: Any) -> None:
        name = data.draw(st.sampled_from([*self.model.tasks]))
        self.tell(Leave(task_id=name, reason="parked"))
        self.model.leave(name)
        self.end(name, outcome)

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data())
    def be_there_already(self, data: st.DataObject) -> None:
        """One whose change is there waits for another probe: who needed it waits no longer."""
        self.end(data.draw(st.sampled_from([*self.model.tasks])), "met")

    @precondition(lambda self: self.state.running)
    @rule(data=st.data(), outcome=st.sampled_from(["none", "incident", "met", "met"]))
    def finish(self, data: st.DataObject, outcome: Any) -> None:
        name = data.draw(st.sampled_from(self.state.running))
        self.tell(Leave(task_id=name, reason="done"))
        self.end(name, outcome)

    def end(self, name: str, outcome: Any) -> None:
        if outcome == "none":
            return
        waiters = tuple(task.name for task in self.model.tasks.values() if name in task.needs)
        events = self.tell(Settle(task_id=name, outcome=outcome))
        if outcome == "met":
            self.model.met(name)
        elif waiters:
            assert events == [DependencyBroken(task_id=name, outcome=outcome, dependents=waiters)]

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data(), priority=st.sampled_from(RANKS))
    def reprioritise(self, data: st.DataObject, priority: Any) -> None:
        name = data.draw(st.sampled_from([*self.model.tasks]))
        self.tell(Reprioritise(task_id=name, priority=priority, actor="ann"))
        self.model.reprioritise(name, priority)

    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        if queue in self.model.paused:
            self.tell(ResumeQueue(queue=queue, actor="ann"))
            self.model.resume(queue)
        else:
            self.tell(PauseQueue(queue=queue, actor="ann"))
            self.model.pause(queue)

    @rule(queue=st.sampled_from(QUEUES), weight=st.integers(1, 4))
    def weigh(self, queue: str, weight: int) -> None:
        self.tell(WeighQueue(queue=queue, weight=weight, actor="ann"))
        self.model.weights[queue] = weight

    @rule(limit=st.integers(1, 6))
    def limit(self, limit: int) -> None:
        self.tell(Limit(max_concurrent=limit, actor="ann"))

    @rule()
    def grant(self) -> None:
        before = self.state
        granted: list[Any] = self.tell(Grant())
        assert [(one.task_id, one.rank, one.eldest) for one in granted] == [
            self.model.start() for _ in granted
        ]
        assert len(before.running) + len(granted) <= max(before.limit, len(before.running))
        assert len(self.state.running) >= before.limit or self.model.turn() is None

    @rule(count=st.integers(5, 40))
    def work_off(self, count: int) -> None:
        for _ in range(count):
            for name in self.state.running[:1]:
                self.tell(Leave(task_id=name, reason="done"))
            self.grant()

    @invariant()
    def same(self) -> None:
        assert sorted(self.state.waiting) == sorted(self.model.tasks)
        assert set(self.state.needed) == {name for task in self.model.tasks.values() for name in task.needs}
        assert decode(encode(self.state), Admission) == self.state
        ahead = copy.deepcopy(self.model)
        assert list(self.state.upcoming(5)) == [ahead.start()[0] for _ in range(5) if ahead.turn()]
        for rank in RANKS:
            place = getattr(self.state, rank)
            assert list(place.elders) == self.model.able[rank]
            assert list(place.ring) == self.model.ring[rank]
            assert sorted(name for lane in place.lanes.plain().values() for name in lane.row) == sorted(
                self.model.ready[rank]
            )


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
