"""Engine `noop`: simulated stages for load tests and drills, accepted only for tasks marked synthetic.

The body may ask for trouble, one wish a line: `fail STAGE [TIMES]` makes the first attempts of a stage fail,
`work STAGE SECONDS` makes it take its time, `spend STAGE TOKENS [CALLS [USED]]` makes it spend tokens. Nothing it
returns counts anywhere: its events are marked, and its tokens are in a ledger of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
from itertools import count

from contracts.budget import simulated_calls
from contracts.stage import StageOutput
from contracts.task import Plan, Specification
from services.stage_runner.adapters.stages.context import StageContext, fail

#: Seconds a simulated stage may take at most.
MAX_S = 60.0


async def carry(context: StageContext) -> StageOutput:
    """Pretend to work, as the task's body asks."""
    request = context.request
    calls = count(1)
    for line in request.input.spec.body.splitlines():
        for wish in simulated_calls(line, request.stage):
            async with context.tokens.call(f"{next(calls)}", wish.tokens) as call:
                if call.settled is None:
                    call.took(wish.used)
        match line.split():
            case ["work", stage, seconds] if stage == request.stage:
                await asyncio.sleep(min(float(seconds), MAX_S))
            case ["fail", stage, *times] if stage == request.stage and request.attempt <= int(
                (times or ["1"])[0]
            ):
                fail(
                    "persistent", "simulated", f"attempt {request.attempt} of {stage} fails as the task asks"
                )
            case _:
                pass
    return _output(context)


def _output(context: StageContext) -> StageOutput:
    match context.request.stage:
        case "spec":
            return StageOutput(specification=Specification(acceptance=(), risk="low"))
        case "plan":
            delta = context.input.delta
            digest = hashlib.sha256(f"simulated {delta.loop if delta else 0}".encode()).hexdigest()
            return StageOutput(plan=Plan(approach="simulated", repos=(), risk="low", digest=digest))
        case _:
            return StageOutput()
