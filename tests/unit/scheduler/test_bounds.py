"""Whoever can start does so within the bound of its class, whatever others do to get past it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.admission import SlotGranted
from contracts.message import Event
from contracts.task import Priority
from libs.testing import turns
from services.scheduler.domain.admission import (
    AdmissionCommand,
    Enqueue,
    Grant,
    Leave,
    Reprioritise,
    Settle,
    WeighQueue,
    admission,
)
from services.scheduler.domain.pool import RANKS, WITHIN, Admission, bound
from services.scheduler.domain.rank import ELDEST

Arrivals = Callable[["Contest"], None]


class Contest:
    """One slot that goes from task to task."""

    def __init__(self) -> None:
        self.state = Admission(limit=1)
        self._names = (f"x{number}" for number in count())
        self._queues: dict[str, str] = {}

    def tell(self, wish: AdmissionCommand) -> list[Event]:
        events = list(admission.decide(wish, self.state))
        self.state = admission.fold(events, self.state)
        return events

    def arrive(self, priority: Priority, queue: str, name: str = "", needs: tuple[str, ...] = ()) -> str:
        name = name or next(self._names)
        self._queues[name] = queue
        self.tell(Enqueue(task_id=name, priority=priority, queue=queue, depends_on=needs))
        return name

    def queue_of(self, name: str) -> str:
        return self._queues[name]

    def start(self) -> str:
        """End whatever runs and return what starts."""
        for name in self.state.running:
            self.tell(Leave(task_id=name, reason="done"))
            self.tell(Settle(task_id=name, outcome="met"))
        for event in self.tell(Grant()):
            assert isinstance(event, SlotGranted)
            return event.task_id
        return ""

    def before(self, name: str, arrivals: Arrivals, most: int) -> list[str]:
        """Return who starts before one, as far as `most`, while others arrive between any two."""
        started: list[str] = []
        while len(started) < most:
            arrivals(self)
            if (one := self.start()) == name:
                break
            started.append(one)
        return started


def urgent_flood(contest: Contest) -> None:
    contest.arrive("urgent", "flood")
    contest.arrive("urgent", "flood")


def queue_after_queue(contest: Contest) -> None:
    for rank in RANKS:
        contest.arrive(rank, contest.arrive(rank, "flood"))


def borrowed_urgency(contest: Contest) -> None:
    """Low tasks that each have an urgent one waiting for them."""
    contest.arrive("urgent", "flood", needs=(contest.arrive("low", "flood"),))
    contest.arrive("normal", "flood", needs=(contest.arrive("low", "other"),))


def comings_and_goings(contest: Contest) -> None:
    """They come, make others wait, and are gone before their turn."""
    urgent_flood(contest)
    contest.tell(Leave(task_id=contest.arrive("normal", "flood"), reason="cancelled"))
    contest.tell(Reprioritise(task_id=contest.arrive("low", "flood"), priority="urgent", actor="ann"))


def lend_and_take_back(contest: Contest) -> None:
    """Let an urgent task wait for the one that is looked at, and go again: that one must not lose its place by it."""
    urgent_flood(contest)
    contest.tell(Leave(task_id=contest.arrive("urgent", "flood", needs=("mine",)), reason="cancelled"))


ADVERSARIES = (urgent_flood, queue_after_queue, borrowed_urgency, comings_and_goings, lend_and_take_back)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("arrivals", ADVERSARIES)
@pytest.mark.parametrize("older", [0, 3])
def test_whoever_can_start_does_within_the_bound(rank: Priority, arrivals: Arrivals, older: int) -> None:
    contest = Contest()
    old = {contest.arrive(rank, f"old{number}") for number in range(older)}
    contest.tell(WeighQueue(queue="flood", weight=100, actor="ann"))
    contest.arrive(rank, "mine", "mine")
    started = contest.before("mine", arrivals, bound(rank, older))
    assert len(started) < bound(rank, older)
    assert sum(name not in old for name in started) <= bound(rank, older) - (older + 1)


def test_the_bound_is_reached() -> None:
    """Against a flood of every class a low task is the last that the rule for its class lets in: it promises no less."""
    contest = Contest()
    contest.tell(WeighQueue(queue="flood", weight=100, actor="ann"))

    def flood(contest: Contest) -> None:
        for rank in RANKS:
            contest.arrive(rank, "flood")

    # The one that is older has its queue's turn at once, and from then on nobody is.
    flood(contest)
    contest.arrive("low", "mine", "mine")
    assert len(contest.before("mine", flood, bound("low", 1))) == bound("low", 0) - 1


def test_what_an_urgent_task_waits_for_starts_as_an_urgent_one_does() -> None:
    contest = Contest()
    for _ in range(100):
        contest.arrive("low", "crowd")
    first = contest.arrive("low", "crowd")
    second = contest.arrive("low", "crowd", needs=(first,))
    contest.arrive("urgent", "mine", "mine", needs=(second,))
    started = contest.before("mine", urgent_flood, 3 * bound("urgent", 0))
    assert started.index(first) < bound("urgent", 0)
    assert started.index(second) - started.index(first) <= bound("urgent", 0)
    assert len(started) < 3 * bound("urgent", 0)


def test_one_task_does_not_wait_for_the_thousand_of_another_queue() -> None:
    contest = Contest()
    for _ in range(1_000):
        contest.arrive("normal", "large")
    contest.arrive("normal", "small", "mine")
    # Of eight starts one may be the eldest's; of the others, every second is this queue's.
    assert len(contest.before("mine", lambda _: None, 100)) <= 2


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_queues_that_always_have_tasks_start_by_their_weights(weights: list[int]) -> None:
    contest = Contest()
    for number, weight in enumerate(weights):
        contest.tell(WeighQueue(queue=f"q{number}", weight=weight, actor="ann"))
    for _ in range(120):
        for number in range(len(weights)):
            contest.arrive("normal", f"q{number}")
    rounds = 112
    started = Counter(contest.queue_of(contest.start()) for _ in range(rounds))
    for number, weight in enumerate(weights):
        share = rounds * weight / sum(weights)
        # The eldest's starts, and the turn that is not over.
        assert abs(started[f"q{number}"] - share) <= rounds / ELDEST + weight


def test_the_bounds_are_those_that_are_published() -> None:
    assert {rank: bound(rank, 0) for rank in RANKS} == {"urgent": 24, "normal": 48, "low": 136}
    assert (turns.ELDEST, turns.WITHIN) == (ELDEST, WITHIN)
