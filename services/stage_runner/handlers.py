"""Requests in: a run is claimed under this replica's lease, and its message is done with. Control events: at once."""

from __future__ import annotations

from contracts.mode import ModeChanged
from contracts.task import (
    RunRequest,
    StageCancelRequested,
    StageRequested,
    TokensGranted,
    TokensRefused,
    WithdrawalRequested,
    WorkspaceRequested,
)
from libs.messaging.outcome import Outcome, Retry
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.stage_runner.domain import Claim, Stop, run, which_of
from services.stage_runner.ports import Executor

#: Seconds after which a run is looked at again that came while nothing may be begun.
HALTED_S = 0.5


async def run_stage(event: StageRequested | WorkspaceRequested, work: Work) -> Outcome | None:
    """Claim a run and begin it once the claim is true; during an emergency stop it stays on the bus."""
    executor: Executor = work.parts
    if executor.halted:
        return Retry(after_s=HALTED_S, reason="emergency stop", counted=False)
    await _claim(event, work)
    return None


async def withdraw(event: WithdrawalRequested, work: Work) -> None:
    """Claim a withdrawal and begin it, whatever the mode and however much runs: it executes nothing."""
    await _claim(event, work)


async def _claim(event: RunRequest, work: Work) -> None:
    executor: Executor = work.parts
    assert work.lease is not None
    claim = Claim(which=which_of(event), replica=work.running.config.holder, epoch=work.lease.epoch)
    if await work.decide(run, event.run_id, claim):

        async def begin() -> None:
            executor.start(event)

        work.after_commit(begin)


async def stop_stage(event: StageCancelRequested, work: Work) -> None:
    """Stop a run that nobody has claimed; whoever has hears of it by `heed_stop`, unless it began to hear too late."""
    executor: Executor = work.parts
    await work.decide(run, event.run_id, Stop(which=which_of(event), reason=event.reason, gone=False))

    async def stop() -> None:
        executor.stop(event.run_id, event.reason)

    work.after_commit(stop)


async def heed_stop(event: StageCancelRequested, running: Running) -> None:
    """Kill a run's processes, if it is under way here."""
    executor: Executor = running.parts
    executor.stop(event.run_id, event.reason)


async def heed_mode(event: ModeChanged, running: Running) -> None:
    """Begin nothing during an emergency stop. What runs is stopped run by run, as the scheduler asks for it."""
    executor: Executor = running.parts
    executor.halted = event.mode == "emergency-stop"


async def heed_tokens(event: TokensGranted | TokensRefused, running: Running) -> None:
    """Let a run look for the answer that it waits for, if it is under way here."""
    executor: Executor = running.parts
    executor.hear(event.run_id)
