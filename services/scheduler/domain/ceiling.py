"""Whether a task's ceiling of memory is enough for what its base takes: told before anything is changed, to a person."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.receipt import CommandReceipt
from contracts.task import StageInput, TaskParked

#: What is advised: the peak with a quarter more, as a multiple of so many MB.
STEP_MB = 64


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a ceiling, and which one would do."""

    reason: str
    enough_mb: int


def shortfall(known: StageInput) -> Shortfall | None:
    """Compare the ceiling with what the commands took on the base; None where it is enough.

    What must fail on the base may do so in any way, by its use of memory too: it tells nothing of the ceiling.
    """
    ceiling = known.spec.budget.memory_mb
    over = [
        receipt
        for receipt in _receipts(known)
        if receipt.ended == "memory" or receipt.peak_memory_mb > ceiling
    ]
    if not over:
        return None
    most = max(over, key=lambda receipt: receipt.peak_memory_mb)
    peak = most.peak_memory_mb
    reason = f"budget.memory_mb: {ceiling} is below the {peak:.0f} MB that the {most.purpose} command took on the base"
    return Shortfall(reason=reason, enough_mb=(int(1.25 * max(peak, ceiling)) // STEP_MB + 1) * STEP_MB)


def parked(task_id: str, found: Shortfall, subject: StageInput) -> TaskParked:
    """Have the task wait for a person; it goes on with its workspace, which is measured anew under the new ceiling."""
    return TaskParked(
        task_id=task_id,
        code="memory_ceiling",
        reason=found.reason,
        owner="submitter",
        wake_up=f"autopilot retry {task_id} --memory {found.enough_mb}",
        next_stage="workspace",
        subject=subject,
    )


def _receipts(known: StageInput) -> Iterator[CommandReceipt]:
    for seen in known.baselines:
        yield from (receipt for receipt in seen.commands if receipt.purpose != "fail_to_pass")
