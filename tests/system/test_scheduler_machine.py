"""The whole scheduler against one page of what must hold, whatever people wish and whatever runs and gates say, in any order.

Real are its handlers, deciders, timers and unit of work, over the in-memory record. The page is `_must_hold`; what only the
history tells (limits in force, dependencies, turns, what starts though it may not) is judged at the end of each history.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from contracts.admission import HoldCause
from contracts.mode import Mode
from contracts.stage import StageOutput
from contracts.task import RunRequest
from libs.testing import invariants, scheduling
from services.scheduler.domain import admission
from services.scheduler.domain.commands import Cancel, Prioritise, Retry
from services.scheduler.domain.mode import ChangeMode
from services.scheduler.handlers import settling, wishes
from tests.system.lonescheduler import LoneScheduler, advice, delta, incident, pairs
from tests.system.twin import honest, naming, patch_task
from tests.unit.scheduler.facts import cancelled, completed, decided, failed

PRIORITIES, QUEUES = st.sampled_from(["urgent", "normal", "low"]), st.sampled_from(["red", "blue"])
#: Phases in which a task holds a slot: something is under way for it.
AT_WORK = frozenset({"running", "gating", "resolving", "cancelling", "suspending"})
ENDED = frozenset({"done", "cancelled", "incident"})
RETRYABLE = frozenset({"incident", "cancelled", "parked"})
MOST_TASKS = 12
#: Rounds of good news after which every task has ended.
ROUNDS = 100
#: What cannot be judged here, since the record holds the scheduler's own streams only, or takes long.
NOT_HERE = (invariants.done_implies_proof, invariants.chain_holds, invariants.one_pull_request)


class Scheduling(RuleBasedStateMachine):
    """People, runs, gates, resolution and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        with capture_logs():
            self.scheduler = LoneScheduler()
        self.tasks: list[str] = []
        #: Tasks that somebody cancelled and nobody has retried since.
        self.unwanted: set[str] = set()
        self.limit, self.mode = 10, "normal"
        self.paused: set[str] = set()
        self.holds: set[str] = set()
        self.told: list[Any] = []
        self.loops = 0

    # What people do.

    @precondition(lambda self: len(self.tasks) < MOST_TASKS)
    @rule(priority=PRIORITIES, queue=QUEUES, window=st.sampled_from([0, 0, 30]), data=st.data())
    def submit(self, priority: str, queue: str, window: int, data: st.DataObject) -> None:
        needs = (
            data.draw(st.lists(st.sampled_from(self.tasks), max_size=2, unique=True)) if self.tasks else []
        )
        self.scheduler.submit(self._name(), _task(priority, queue, window, depends_on=needs))

    @precondition(lambda self: len(self.tasks) < MOST_TASKS - 3)
    @rule(queue=QUEUES, link=st.integers(0, 2), on_failed=st.sampled_from(["park", "cancel"]))
    def submit_batch(self, queue: str, link: int, on_failed: str) -> None:
        needs = pairs([self._name() for _ in range(3)], link)
        specs = {name: _task("normal", queue, 0, depends_on=list(other)) for name, other in needs.items()}
        self.scheduler.submit_all(specs, on_failed)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(self.tasks))
        if self._phase(task_id) not in ENDED:
            self.unwanted.add(task_id)
        self.scheduler.do(
            lambda work: settling.command(work, task_id, Cancel(actor="somebody", reason="changed its mind"))
        )

    @precondition(lambda self: any(self._phase(one) in RETRYABLE for one in self.tasks))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from([one for one in self.tasks if self._phase(one) in RETRYABLE]))
        self.unwanted.discard(task_id)
        self.scheduler.do(lambda work: settling.command(work, task_id, Retry(actor="somebody")))

    @rule(limit=st.integers(1, 4))
    def change_limit(self, limit: int) -> None:
        self.limit = limit
        self._operate(admission.Limit(max_concurrent=limit, actor="somebody"))

    @rule(queue=QUEUES)
    def pause(self, queue: str) -> None:
        self.paused.add(queue)
        self._operate(admission.PauseQueue(queue=queue, actor="somebody"))

    @precondition(lambda self: self.paused)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        queue = data.draw(st.sampled_from(sorted(self.paused)))
        self.paused.discard(queue)
        self._operate(admission.ResumeQueue(queue=queue, actor="somebody"))

    @rule(queue=QUEUES, weight=st.integers(1, 5))
    def weigh(self, queue: str, weight: int) -> None:
        self._operate(admission.WeighQueue(queue=queue, weight=weight, actor="somebody"))

    @precondition(lambda self: self.tasks)
    @rule(priority=PRIORITIES, data=st.data())
    def reprioritise(self, priority: Any, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(self.tasks))
        wish = Prioritise(priority=priority, actor="somebody")
        self.scheduler.do(lambda work: settling.command(work, task_id, wish))

    @rule(cause=st.sampled_from(["drain", "host_memory"]))
    def hold(self, cause: HoldCause) -> None:
        self.holds.add(cause)
        self._operate(admission.Hold(cause=cause, detail="it is short", actor="host"))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        cause = data.draw(st.sampled_from(sorted(self.holds)))
        self.holds.discard(cause)
        self._operate(admission.Release(cause=cause, actor="host"))  # type: ignore[arg-type]

    @rule(mode=st.sampled_from(["normal", "normal", "minimal", "read-only", "emergency-stop"]))
    def switch(self, mode: Mode) -> None:
        self.mode = mode
        wish = ChangeMode(mode=mode, actor="somebody", reason="a drill")
        self.scheduler.do(lambda work: wishes.change_mode(work, wish))

    # What others say, and time.

    @precondition(lambda self: self.scheduler.runs)
    @rule(how=st.sampled_from(["good", "good", "good", "persistent", "transient"]), data=st.data())
    def end_run(self, how: str, data: st.DataObject) -> None:
        run = self.scheduler.runs[data.draw(st.sampled_from(sorted(self.scheduler.runs)))]
        if self.scheduler.state(run.task_id).phase in ("cancelling", "suspending") and how != "good":
            self._tell(cancelled(run))
        else:
            self._tell(completed(run, _made(run)) if how == "good" else failed(run, how))

    @precondition(lambda self: self.scheduler.reviews)
    @rule(verdict=st.sampled_from(["approve"] * 4 + ["reject", "abstain", "error"]), data=st.data())
    def judge(self, verdict: Any, data: st.DataObject) -> None:
        review = self.scheduler.reviews[data.draw(st.sampled_from(sorted(self.scheduler.reviews)))]
        self._tell(decided(review, verdict))

    @precondition(lambda self: self.scheduler.troubles)
    @rule(how=st.sampled_from(["advice", "delta", "incident"]), data=st.data())
    def resolve(self, how: str, data: st.DataObject) -> None:
        trouble = self.scheduler.troubles[data.draw(st.sampled_from(sorted(self.scheduler.troubles)))]
        self.loops += 1
        match how:
            case "advice":
                self._tell(advice(trouble, 2.0 * self.loops))
            case "delta":
                self._tell(delta(trouble, self.loops))
            case _:
                self._tell(incident(trouble, self.loops))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """What was said before and is said again changes nothing."""
        before = len(self.scheduler.events)
        self.scheduler.tell_again(data.draw(st.sampled_from(self.told)))
        assert [event.type for event in self.scheduler.events[before:]] == []

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def pass_time(self, seconds: int) -> None:
        self.scheduler.pass_time(seconds)

    @rule()
    def crash(self) -> None:
        self.scheduler.restart()

    # What must hold after each of these.

    @invariant()
    def must_hold(self) -> None:
        states = {task_id: self.scheduler.state(task_id) for task_id in self.tasks}
        at_work = {task_id for task_id, state in states.items() if state.phase in AT_WORK}
        assert at_work == self.scheduler.holders, "who is at work holds a slot, and nobody else"
        shut = self.holds or self.mode in scheduling.SHUT
        for task_id, state in states.items():
            assert state.phase != "queued" or task_id in self.scheduler.queued, (
                "who waits for a slot is queued"
            )
            assert state.phase not in ENDED or task_id not in self.scheduler.queued, (
                "nobody is queued after its end"
            )
            assert state.phase != "parked" or (state.reason and state.waits_on and state.waits_for)
            assert task_id not in self.unwanted or state.phase in ("cancelled", "cancelling")
            if self.mode == "emergency-stop":
                assert state.phase != "running", "after an emergency stop every stage is asked to stop"
            free = len(self.scheduler.holders) < self.limit and not shut
            if free and state.phase == "queued" and state.spec.queue not in self.paused:
                assert any(not states[need].fulfilled for need in state.depends_on), (
                    "a slot is free and it is ready"
                )

    def teardown(self) -> None:
        """Lift everything, let all go well, and find every task at its end, or waiting for a person."""
        try:
            self._lift()
            for _ in range(ROUNDS):
                if not self._go_well():
                    break
            self.must_hold()
            checks = [*invariants.ALWAYS, scheduling.nothing_is_forgotten]
            events = self.scheduler.events
            found = [one for check in checks if check not in NOT_HERE for one in check(events)]
            assert not found, found
        finally:
            self.scheduler.close()

    def _lift(self) -> None:
        for cause in sorted(self.holds):
            self._operate(admission.Release(cause=cause, actor="host"))  # type: ignore[arg-type]
        for queue in sorted(self.paused):
            self._operate(admission.ResumeQueue(queue=queue, actor="somebody"))
        self.holds, self.paused = set(), set()
        self.change_limit(10)
        self.switch("normal")

    def _go_well(self) -> bool:
        """Answer everything that is open, and let time pass; False if nothing was."""
        waiting = [one for one in self.tasks if self._phase(one) in ("waiting", "resolving")]
        open_ = [
            *self.scheduler.runs.values(),
            *self.scheduler.reviews.values(),
            *self.scheduler.troubles.values(),
        ]
        for run in list(self.scheduler.runs.values()):
            stopping = self._phase(run.task_id) in ("cancelling", "suspending")
            self._tell(cancelled(run) if stopping else completed(run, _made(run)))
        for review in list(self.scheduler.reviews.values()):
            self._tell(decided(review))
        for trouble in list(self.scheduler.troubles.values()):
            self.loops += 1
            self._tell(incident(trouble, self.loops))
        self.scheduler.pass_time(100)
        return bool(open_ or waiting)

    def _tell(self, news: Any) -> None:
        self.told.append(news)
        self.scheduler.tell(news)

    def _operate(self, wish: Any) -> None:
        self.scheduler.do(lambda work: wishes.operate(work, wish))

    def _phase(self, task_id: str) -> str:
        return self.scheduler.state(task_id).phase

    def _name(self) -> str:
        self.tasks.append(f"t{len(self.tasks)}")
        return self.tasks[-1]


def _made(run: RunRequest) -> StageOutput:
    """What a run makes; every other task plans to change the same file."""
    output = honest(run)
    return naming(output, "wide.py") if run.stage == "plan" and int(run.task_id[1:]) % 2 else output


def _task(priority: str, queue: str, window: int, depends_on: list[str]) -> Any:
    spec = patch_task(priority=priority, queue=queue, depends_on=depends_on)
    repo = msgspec.convert(
        {**msgspec.to_builtins(spec.repos[0]), "monitor": {"window_s": window}}, type(spec.repos[0])
    )
    return msgspec.structs.replace(spec, repos=(repo,))


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
