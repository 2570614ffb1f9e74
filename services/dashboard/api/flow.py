"""The flow of tasks through the eight stages, counted from their cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import msgspec

from contracts.task import STAGES
from services.dashboard.projections.documents import Card

#: Where a task is that waits for its first, or next, slot.
QUEUE = "queue"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One stage with what is in it."""

    stage: str
    count: int
    by_phase: dict[str, int]
    #: Seconds since the present attempt of the stage began, of the task that has been in it longest.
    oldest_s: float | None
    oldest_task: str


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """All tasks that have not ended, by stage."""

    queue: Column
    stages: list[Column]
    active: int
    parked: int
    #: Tasks that hold a slot, simulated ones as well: a slot is a slot.
    running: int
    #: Simulated tasks that have not ended; but for their slots they are counted nowhere else.
    synthetic: int


def place_of(card: Card) -> str:
    """Say in which column a task is."""
    return QUEUE if card.phase == "queued" or not card.stage else card.stage


def flow(cards: Iterable[Card], now: datetime) -> Flow:
    """Count tasks by stage."""
    known = list(cards)
    real = [card for card in known if not card.synthetic]
    columns = {
        stage: _column(stage, [card for card in real if place_of(card) == stage], now)
        for stage in (QUEUE, *STAGES)
    }
    return Flow(
        queue=columns[QUEUE],
        stages=[columns[stage] for stage in STAGES],
        active=len(real),
        running=sum(card.holds_slot for card in known),
        parked=sum(card.phase == "parked" for card in real),
        synthetic=len(known) - len(real),
    )


def _column(stage: str, cards: list[Card], now: datetime) -> Column:
    oldest = min(cards, key=_since, default=None)
    return Column(
        stage=stage,
        count=len(cards),
        by_phase=dict(Counter(card.phase for card in cards)),
        oldest_s=None if oldest is None else max(0.0, (now - _since(oldest)).total_seconds()),
        oldest_task="" if oldest is None else oldest.id,
    )


def _since(card: Card) -> datetime:
    in_queue = place_of(card) == QUEUE
    return (card.phase_since if in_queue else card.stage_since) or card.submitted_at
