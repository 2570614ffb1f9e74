"""W8 on Restate: a workflow of eight durable steps. Served by granian, in Restate's own environment.

Every step writes one line of its run to the file that `W8_RUNS` names: so the bench counts what ran, and when.
"""

import os
import time

import restate

STEPS = 8
_RUNS = os.open(os.environ["W8_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

w8 = restate.Workflow("w8")


@w8.main()
async def run(ctx: restate.WorkflowContext, name: str) -> str:
    """Carry out one task."""
    for step in range(STEPS):

        def work(step: int = step) -> str:
            os.write(_RUNS, f"{name} {step} {time.time()}\n".encode())
            return "done"

        await ctx.run_typed(f"step-{step}", work)
    return name


app = restate.app([w8])
