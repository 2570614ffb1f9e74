"""Whoever can start does so within the bound of its class, whatever others do to get past it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from contracts.admission import AdmissionEvent, SlotGranted
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

    def tell(self, wish: AdmissionCommand) -> list[AdmissionEvent]:
        events = list(admission.decide(wish, self.state))
        self.state = admission.fold(events, self.state)
        return events

    def arrive(self, priority: Priority, queue: str, name: str = "", needs: tuple[str, ...] = ()) -> str:
        name = name or next(self._names)
        self.tell(Enqueue(task_id=name, priority=priority, queue=queue, depends_on=needs))
        return name

    def start(self) -> str:
        """End whatever runs and return what starts."""
        for name in self.state.running:
            self.tell(Leave(task_id=name, reason="done"))
            self.tell(Settle(task_id=name, outcome="met"))
        for event in self.tell(Grant()):
            assert isinstance(event, SlotGranted)
            return event.task_id
        return ""

    def until(self, name: str, arrivals: Arrivals, most: int) -> int:
        """Return how many start up to and including one, while others arrive between any two."""
        for starts in range(1, most + 2):
            arrivals(self)
            if self.start() == name:
                return starts
        return most + 2


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


ADVERSARIES = (urgent_flood, queue_after_queue, borrowed_urgency, comings_and_goings)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("arrivals", ADVERSARIES)
@pytest.mark.parametrize("older", [0, 3])
def test_whoever_can_start_does_within_the_bound(rank: Priority, arrivals: Arrivals, older: int) -> None:
    contest = Contest()
    for number in range(older):
        contest.arrive(rank, f"old{number}")
    contest.tell(WeighQueue(queue="flood", weight=100, actor="ann"))
    contest.arrive(rank, "mine", "mine")
    assert contest.until("mine", arrivals, bound(rank, older)) <= bound(rank, older)


def test_the_bounds_are_those_that_are_published() -> None:
    assert {rank: bound(rank, 0) for rank in RANKS} == {"urgent": 24, "normal": 48, "low": 136}
    assert (turns.ELDEST, turns.WITHIN) == (ELDEST, WITHIN)
