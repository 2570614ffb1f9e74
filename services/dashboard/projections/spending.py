"""Says what happens to tokens, for the timeline."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from contracts.budget import (
    AccountClosed,
    BudgetEvent,
    BudgetWarned,
    CeilingChanged,
    GrantCalled,
    GrantDeferred,
    GrantForgone,
    GrantRaised,
    GrantReserved,
    GrantSettled,
)
from contracts.stage import CallReserved, CallSettled, TokenGrantExhausted
from contracts.task import TaskBudgetChanged, TokensGranted, TokensRefused
from services.dashboard.projections.documents import Line

#: What runs and tasks say of tokens, besides the ledger.
TokenEvent: TypeAlias = (
    CallReserved | CallSettled | TokenGrantExhausted | TokensGranted | TokensRefused | TaskBudgetChanged
)


def tell_tokens(event: TokenEvent) -> Line:
    """Say what a run or a task does with its tokens."""
    match event:
        case CallReserved(call=call, provider=provider, tokens=tokens):
            return f"call {call} of {provider}, {tokens:,} tokens at most", ""
        case CallSettled(call=call, tokens=tokens):
            return f"call {call} took {tokens:,} tokens", ""
        case TokenGrantExhausted(stage=stage, tokens=tokens):
            return f"{stage} asks for {tokens:,} tokens more", "warn"
        case TokensGranted(tokens=tokens):
            return f"{tokens:,} tokens more", ""
        case TokensRefused(reason=reason):
            return f"no more tokens: {reason}", "warn"
        case TaskBudgetChanged(tokens=tokens, actor=actor):
            return f"{actor} set its budget to {tokens:,} tokens", ""
        case _:
            assert_never(event)


def tell_budget(event: BudgetEvent) -> Line:
    """Say what is entered in a ledger."""
    match event:
        case GrantReserved(stage=stage, tokens=tokens):
            return f"{tokens:,} tokens reserved for {stage}", ""
        case GrantRaised(tokens=tokens):
            return f"{tokens:,} tokens more reserved", ""
        case GrantSettled(stage=stage, reserved=reserved, spent=spent):
            return f"{stage} spent {spent:,} of {reserved:,} tokens", ""
        case GrantDeferred(tokens=tokens, scope=scope, until=until):
            return f"waits for {tokens:,} tokens of {scope}, until {until:%Y-%m-%d %H:%M} UTC", "warn"
        case GrantCalled():
            return "there are tokens for it", "good"
        case GrantForgone():
            return "waits for tokens no longer", ""
        case AccountClosed():
            return "its account of tokens is closed", ""
        case CeilingChanged(scope=scope, tokens=ceiling, actor=actor):
            said = "has no ceiling" if ceiling is None else f"may spend {ceiling:,} tokens an hour"
            return f"{scope} {said}, by {actor}", ""
        case BudgetWarned(scope=scope, percent=percent, used=used, ceiling=ceiling):
            return f"{scope} is at {percent} %: {used:,} of {ceiling:,} tokens", "warn"
        case _:
            assert_never(event)
