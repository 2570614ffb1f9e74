"""Answering a run that has come to the end of its grant: more tokens, or none, and then the task waits for them."""

from __future__ import annotations

from contracts.stage import TokenGrantExhausted
from contracts.task import TokensGranted, TokensRefused
from services.scheduler.domain.purse import Purse, Shortage
from services.scheduler.domain.state import Task


def topped_up(state: Task, news: TokenGrantExhausted, purse: Purse) -> TokensGranted | TokensRefused:
    """Give what is missing, and some more where that fits; refuse where not even that does."""
    more = purse.raised(state, news.run_id, news.tokens)
    if isinstance(more, Shortage):
        return TokensRefused(
            task_id=state.task_id,
            run_id=news.run_id,
            number=news.number,
            wanted=news.wanted,
            reason=more.reason,
        )
    return TokensGranted(task_id=state.task_id, run_id=news.run_id, number=news.number, tokens=more)
