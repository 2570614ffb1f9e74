"""Notes which limits a run's commands have reached; the sandbox has stopped them by then."""

from __future__ import annotations

from collections.abc import Callable

from libs.sandbox.command import Command, Ended, Outcome
from services.stage_runner.adapters.stages.context import StageContext
from services.stage_runner.adapters.timebox import OverrunError
from services.stage_runner.domain import Exceeded

#: Limits that one run tells of, and characters of a command that are told.
MAX_TOLD, SAID = 20, 300


def listener(context: StageContext) -> Callable[[Command, Outcome], None]:
    """Build what is told of every command that ends in the run."""

    def hear(command: Command, outcome: Outcome) -> None:
        if len(context.exceeded) < MAX_TOLD and (one := exceeded(context, command, outcome)):
            context.exceeded.append(one)

    return hear


def exceeded(context: StageContext, command: Command, outcome: Outcome) -> Exceeded | None:
    """Say which limit a command has reached, if it has reached one."""
    budget, limits = context.input.spec.budget, command.limits
    said = (command.title or command.script)[:SAID]
    match outcome.ended:
        case Ended.MEMORY:
            setting = "budget.memory_mb" if limits.memory_mb == budget.memory_mb else ""
            peak = outcome.peak_memory_mb
            return Exceeded(
                resource="memory", setting=setting, limit=limits.memory_mb, peak=peak, command=said
            )
        case Ended.WALL:
            setting = "budget.wall_s" if limits.wall_s == budget.wall_s else ""
            took = round(outcome.duration_s, 1)
            return Exceeded(resource="wall", setting=setting, limit=limits.wall_s, peak=took, command=said)
        case Ended.PROCESSES:
            most = outcome.peak_processes
            return Exceeded(resource="processes", limit=limits.processes, peak=most, command=said)
        case _ if outcome.truncated:
            printed = outcome.output_bytes
            return Exceeded(resource="output", limit=limits.output_bytes, peak=printed, command=said)
        case _:
            return None


def overrun(error: OverrunError) -> Exceeded:
    """Tell of a run that was stopped as a whole."""
    return Exceeded(
        resource="wall",
        setting=error.box.setting,
        limit=error.box.seconds,
        peak=round(error.elapsed_s, 1),
    )
