"""Requests in: a run is claimed under this replica's lease, and its message is done with."""

from __future__ import annotations

from contracts.task import StageCancelRequested, StageRequested, TokensGranted, TokensRefused
from libs.runtime.work import Work
from services.stage_runner.domain import Claim, Stop, run, which_of
from services.stage_runner.ports import Executor


async def run_stage(event: StageRequested, work: Work) -> None:
    """Claim a run and begin it once the claim is true."""
    executor: Executor = work.parts
    assert work.lease is not None
    claim = Claim(which=which_of(event), replica=work.running.config.holder, epoch=work.lease.epoch)
    if await work.decide(run, event.run_id, claim):

        async def begin() -> None:
            executor.start(event)

        work.after_commit(begin)


async def stop_stage(event: StageCancelRequested, work: Work) -> None:
    """Stop a run: at once if nobody works on it, otherwise by killing what works on it."""
    executor: Executor = work.parts
    await work.decide(run, event.run_id, Stop(which=which_of(event), reason=event.reason, gone=False))

    async def stop() -> None:
        executor.stop(event.run_id, event.reason)

    work.after_commit(stop)


async def top_up(event: TokensGranted | TokensRefused, work: Work) -> None:
    """Wake a run that waits for tokens, if it is here; otherwise its replica finds the answer in the record."""
    executor: Executor = work.parts

    async def hear() -> None:
        executor.hear(event.run_id)

    work.after_commit(hear)
