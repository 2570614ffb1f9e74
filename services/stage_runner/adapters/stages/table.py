"""Which function carries out which stage, and the workspace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never

from contracts.stage import StageOutput
from services.stage_runner.adapters.stages import (
    implement,
    monitor,
    noop,
    plan,
    pr,
    review,
    spec,
    think,
    verify,
    withdrawal,
    workspace,
)
from services.stage_runner.adapters.stages.context import StageContext


async def carry(context: StageContext) -> StageOutput:
    """Carry out a run's stage and leave nothing of it behind."""
    try:
        return await _function(context)(context)
    finally:
        await context.tidy()


def _function(context: StageContext) -> Callable[[StageContext], Awaitable[StageOutput]]:
    if context.input.spec.engine == "noop":
        return noop.carry
    match context.request.stage:
        case "spec":
            return spec.carry
        case "plan":
            return plan.carry
        case "workspace":
            return workspace.carry
        case "think":
            return think.carry
        case "implement":
            return implement.carry
        case "verify":
            return verify.carry
        case "review":
            return review.carry
        case "pr":
            return pr.carry
        case "monitor":
            return monitor.carry
        case "withdrawal":
            return withdrawal.carry
        case stage:
            assert_never(stage)
