"""A question comes in, a judgement goes out."""

from __future__ import annotations

from contracts.task import GateRequested
from libs.runtime.work import Work
from services.gate.domain.review import Judge, review


async def judge_subject(event: GateRequested, work: Work) -> None:
    """Answer a gate's question."""
    await work.decide(review, event.review_id, Judge(request=event))
