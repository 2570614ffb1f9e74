"""Goes on with runs whose holder is gone: this replica's own after a restart, another's after its lease lapsed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

import structlog

from contracts.message import key_of
from contracts.task import RunRequest, StageCancelRequested
from libs.eventstore.store import StoreUnavailableError
from libs.runtime.leadership import LEASE_S
from libs.runtime.running import Running
from libs.runtime.work import Work
from libs.sandbox.orphans import sweep
from services.stage_runner.adapters.executor import BackgroundExecutor
from services.stage_runner.adapters.stages.context import cookie_of, directory_of, holder_of
from services.stage_runner.domain import Resume, Run, Which, run

log = structlog.get_logger(__name__)

#: Seconds between looks for runs that nobody works on.
LOOK_S = 1.0
#: Runs that are gone on with at once.
TOGETHER = 64


async def resume_orphaned_runs(running: Running) -> None:
    """Look for orphaned runs again and again while there are any runs, and go on with them."""
    while True:
        some, end = True, running.pulse.end
        try:
            some = await look(running)
        except StoreUnavailableError as error:
            log.warning("resumption_waits", error=str(error))
        await asyncio.sleep(LOOK_S)
        if not some:
            # Nobody's lease matters until an event begins a run.
            await running.pulse.news(end)


async def look(running: Running) -> bool:
    """Go on with every run whose holder is gone now, and stop what was to be stopped before it was under way here.

    A stop that comes later is heard. Of an earlier one the bus tells any one replica, which need not be this one.
    Tells whether there are runs at all that have not ended.
    """
    executor: BackgroundExecutor = running.parts
    mine, after = running.config.holder, ""
    # Others whose lease lives, as the record says: the clock of this machine may be another.
    live: set[str] = set()
    orphans: list[Run] = []
    while heads := await running.store.heads("run", open_only=True, after=after):
        after = heads[-1].stream
        for head in heads:
            run_id = key_of(head.stream)
            working = executor.working_on(run_id)
            if working and executor.seen(run_id):
                continue
            state = await _state(running, run_id)
            if working:
                await _heed_stop(running, executor, state)
                continue
            if not state.live or state.replica in live:
                continue
            if state.replica != mine and await running.store.acquire(state.replica, mine, LEASE_S) is None:
                live.add(state.replica)
                continue
            orphans.append(state)
    for start in range(0, len(orphans), TOGETHER):
        await _take(running, executor, orphans[start : start + TOGETHER])
    return bool(after)


async def _state(running: Running, run_id: str) -> Run:
    return await running.perform(lambda work: work.load(run, run_id))


async def _take(running: Running, executor: BackgroundExecutor, orphans: Sequence[Run]) -> None:
    # What the old sandboxes left must be dead before the work is done again. One look at all processes takes 10 ms.
    data = running.config.data
    cookies = [cookie_of(data, state.which.run_id) for state in orphans if state.which is not None]
    await asyncio.to_thread(sweep, *cookies)
    # Together, so that they share appends.
    resuming = [_resume(running, executor, state) for state in orphans]
    for outcome in await asyncio.gather(*resuming, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _resume(running: Running, executor: BackgroundExecutor, state: Run) -> None:
    assert state.which is not None
    assert running.lease is not None
    which, mine, epoch = state.which, running.config.holder, running.lease.epoch
    data = running.config.data
    if state.replica == mine:
        # Another's directory is left to the clean-up after the task: a sandbox in another container may still be in it.
        left = directory_of(data, which.task_id, which.run_id, holder_of(mine, state.epoch))
        await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
    request, stopped = await _asked(running, which)
    if request is None:
        log.error("run_without_request", run_id=which.run_id)
        return
    reason = "its replica was restarted" if state.replica == mine else f"the lease of {state.replica} lapsed"
    taking = Resume(gone=(state.replica, state.epoch), replica=mine, epoch=epoch, reason=reason)

    async def resume(work: Work) -> bool:
        await work.decide(run, which.run_id, taking)
        present = await work.load(run, which.run_id)
        # It may have ended, or been begun here, since it was looked at.
        return present.live and (present.replica, present.epoch) == (mine, epoch)

    if not await running.perform(resume, synthetic=request.input.spec.synthetic):
        return
    log.info("run_resumed", run_id=which.run_id)
    executor.start(request)
    if stopped is not None:
        # Before its first step: all that is left of it to do is the orderly end.
        executor.stop(which.run_id, stopped.reason)


async def _heed_stop(running: Running, executor: BackgroundExecutor, state: Run) -> None:
    if state.which is None:
        return
    _, stopped = await _asked(running, state.which)
    if stopped is not None:
        executor.stop(state.which.run_id, stopped.reason)


async def _asked(running: Running, which: Which) -> tuple[RunRequest | None, StageCancelRequested | None]:
    """Read what the scheduler asked for concerning a run."""
    types = ["stage_requested", "workspace_requested", "withdrawal_requested", "stage_cancel_requested"]
    found = await running.store.read_stream(f"task-{which.task_id}", types=types)
    asked = [event.event for event in found if getattr(event.event, "run_id", "") == which.run_id]
    request = next((event for event in asked if isinstance(event, RunRequest)), None)
    stopped = next((event for event in asked if isinstance(event, StageCancelRequested)), None)
    return request, stopped
