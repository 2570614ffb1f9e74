"""What people may do to the pool of slots, and that each wish has its effect once."""

from __future__ import annotations

from contracts.admission import AdmissionEvent
from contracts.task import Priority
from services.scheduler.domain.admission import (
    AdmissionCommand,
    Enqueue,
    Grant,
    Hold,
    Leave,
    Limit,
    LimitBacklog,
    PauseQueue,
    Release,
    Reprioritise,
    ResumeQueue,
    Settle,
    WeighQueue,
    admission,
)
from services.scheduler.domain.pool import RANKS, Admission, Forecast, bound


class Pool:
    """A pool that is told what to do; every command is given twice, and the second time is silence."""

    def __init__(self) -> None:
        self.state = Admission()

    def tell(self, *wishes: AdmissionCommand) -> list[AdmissionEvent]:
        told = []
        for wish in wishes:
            for once in (True, False):
                events = list(admission.decide(wish, self.state))
                assert once or not events, f"{wish} has an effect each time"
                self.state = admission.fold(events, self.state)
                told += events
        return told

    def granted(self) -> list[str]:
        return [getattr(event, "task_id", "") for event in self.tell(Grant())]


def enqueue(task_id: str, priority: Priority = "normal", queue: str = "q", needs: str = "") -> Enqueue:
    return Enqueue(task_id=task_id, priority=priority, queue=queue, depends_on=tuple(needs.split()))


def test_a_paused_queue_starts_nothing_until_it_is_resumed() -> None:
    pool = Pool()
    pool.tell(PauseQueue(queue="q", actor="ann", reason="release day"), enqueue("a"), enqueue("b", queue="r"))
    assert pool.state.paused["q"].reason == "release day"
    assert pool.state.forecast("a") is None
    assert pool.granted() == ["b"]
    pool.tell(ResumeQueue(queue="q", actor="ann"))
    assert pool.granted() == ["a"]


def test_while_anything_holds_the_slots_nobody_gets_one() -> None:
    pool = Pool()
    pool.tell(enqueue("a"), Hold(cause="host_memory", detail="90 MB left"), Hold(cause="drain", actor="ann"))
    assert pool.granted() == []
    pool.tell(Release(cause="drain"))
    assert pool.granted() == []
    pool.tell(Release(cause="host_memory"))
    assert pool.granted() == ["a"]


def test_a_waiting_task_changes_its_class_and_a_running_one_does_not() -> None:
    pool = Pool()
    pool.tell(Limit(max_concurrent=1, actor="ann"), enqueue("a"))
    assert pool.granted() == ["a"]
    assert pool.tell(Reprioritise(task_id="a", priority="urgent", actor="ann")) == []
    pool.tell(enqueue("b"), enqueue("c", "low"), Reprioritise(task_id="c", priority="urgent", actor="ann"))
    pool.tell(Leave(task_id="a", reason="done"))
    assert pool.granted() == ["c"]


def test_a_lower_limit_ends_nothing_and_starts_nothing_until_fewer_run() -> None:
    pool = Pool()
    pool.tell(*(enqueue(f"t{number}") for number in range(4)), Limit(max_concurrent=3, actor="ann"))
    assert pool.granted() == ["t0", "t1", "t2"]
    pool.tell(Limit(max_concurrent=2, actor="ann"), Leave(task_id="t0", reason="done"))
    assert pool.granted() == []
    pool.tell(Leave(task_id="t1", reason="done"))
    assert pool.granted() == ["t3"]


def test_what_is_set_is_kept() -> None:
    pool = Pool()
    pool.tell(LimitBacklog(max_queued=7, actor="ann"), WeighQueue(queue="q", weight=3, actor="ann"))
    assert (pool.state.max_queued, pool.state.weights) == (7, {"q": 3})
    pool.tell(WeighQueue(queue="q", weight=1, actor="ann"))
    assert pool.state.weights == {}


def test_what_a_class_has_let_pass_is_forgotten_when_nobody_is_left_in_it() -> None:
    pool = Pool()
    pool.tell(Limit(max_concurrent=1, actor="ann"), enqueue("low", "low"))
    for number in range(17):
        pool.tell(*(Leave(task_id=task_id, reason="done") for task_id in pool.state.running))
        if number == 10:
            pool.tell(Leave(task_id="low", reason="cancelled"), enqueue("low again", "low"))
        pool.tell(enqueue(f"u{number}", "urgent"))
        assert pool.granted() == [f"u{number}"]
    assert pool.state.low.passed == 7


def test_urgency_that_two_lend_lasts_until_both_have_gone() -> None:
    pool = Pool()
    pool.tell(enqueue("first", "low"))
    pool.tell(*(enqueue(name, "urgent", needs="first") for name in ("one", "other")))
    assert pool.state.ranks(pool.state.waiting["first"]) == ("urgent", "low")
    pool.tell(Leave(task_id="one", reason="cancelled"))
    assert pool.state.ranks(pool.state.waiting["first"]) == ("urgent", "low")
    pool.tell(Leave(task_id="other", reason="cancelled"))
    assert pool.state.ranks(pool.state.waiting["first"]) == ("low",)
    assert [len(pool.state.rank(rank).elders) for rank in RANKS] == [0, 0, 1]


def test_a_queue_that_goes_takes_its_own_turn_with_it_and_nothing_of_anothers() -> None:
    pool = Pool()
    pool.tell(Limit(max_concurrent=1, actor="ann"))
    pool.tell(*(WeighQueue(queue=queue, weight=2, actor="ann") for queue in "abc"))
    pool.tell(*(enqueue(f"{queue}{number}", queue=queue) for number in range(4) for queue in "abc"))

    def starts(count: int) -> list[str]:
        started: list[str] = []
        for _ in range(count):
            pool.tell(*(Leave(task_id=name, reason="done") for name in pool.state.running))
            started += pool.granted()
        return started

    def gone(queue: str) -> list[Leave]:
        return [Leave(task_id=f"{queue}{number}", reason="cancelled") for number in range(4)]

    assert starts(1) == ["a0"]
    pool.tell(*gone("c"))
    assert starts(2) == ["a1", "b0"], "the turn of a goes on where it was"
    pool.tell(*gone("b"), *(enqueue(name, queue="d") for name in ("d0", "d1")))
    assert starts(3) == ["a2", "a3", "d0"], "the turn of a is a whole one"


def test_who_cannot_start_yet_has_no_forecast_and_who_is_far_behind_has_a_bound() -> None:
    pool = Pool()
    pool.tell(enqueue("first", "low"), enqueue("dependent", needs="first"))
    assert pool.state.forecast("dependent") is None
    assert pool.state.forecast("nobody") is None
    assert pool.state.forecast("first") == Forecast(ahead=0, exact=True)
    assert pool.state.forecast("first", order=()) == Forecast(ahead=bound("normal", 0) - 1, exact=False)


def test_who_is_needed_no_longer_counts_in_its_own_class_alone() -> None:
    pool = Pool()
    pool.tell(enqueue("first", "low"), enqueue("dependent", "urgent", needs="first"))
    assert pool.state.ranks(pool.state.waiting["first"]) == ("urgent", "low")
    pool.tell(Settle(task_id="first", outcome="met"))
    assert pool.state.ranks(pool.state.waiting["first"]) == ("low",)
    assert pool.granted() == ["dependent", "first"]
    assert [len(pool.state.rank(rank).elders) for rank in RANKS] == [0, 0, 0]
