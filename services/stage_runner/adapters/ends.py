"""Records how runs end. What ends while another end is being recorded goes into the next append together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from contracts.stage import StageOutput
from contracts.task import Failure
from libs.eventstore.store import StaleLeaseError, StoreUnavailableError, UnrecordableError
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.work import Work
from services.stage_runner.domain import Fail, RunCommand, Which, run

log = structlog.get_logger(__name__)

#: Ends of one append.
TOGETHER = 128
#: Seconds between two tries while the record is away.
AGAIN_S = 0.3


@dataclass(eq=False)
class _Ended:
    which: Which
    end: RunCommand
    synthetic: bool
    recorded: asyncio.Future[None]


class Ends:
    """Records ends for all runs of a replica."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._waiting: list[_Ended] = []
        #: What is being recorded.
        self._taken: list[_Ended] = []
        self._worker: asyncio.Task[None] | None = None

    async def record(self, which: Which, end: RunCommand, *, synthetic: bool) -> None:
        """Record an end, however long the record is away; a lost lease leaves it to the next holder.

        An end holds whether or not somebody waits for it: a caller that is cancelled does not take it back.
        """
        ended = _Ended(which, end, synthetic, asyncio.get_running_loop().create_future())
        self._waiting.append(ended)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="run-ends")
            self._worker.add_done_callback(self._let_go)
        await ended.recorded

    async def abandon(self) -> None:
        """Record nothing more; whoever holds the lease next goes on with these runs."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while self._take():
            await self._record(self._taken)

    def _let_go(self, worker: asyncio.Task[None]) -> None:
        # Where the worker was cut short, perhaps before its first step, nobody would come back for them.
        if worker.cancelled() or worker.exception() is not None:
            for ended in (*self._taken, *self._waiting):
                ended.recorded.cancel()
            self._taken, self._waiting = [], []

    def _take(self) -> bool:
        taken: list[_Ended] = []
        left: list[_Ended] = []
        for ended in self._waiting:
            # One unit of work is simulated as a whole, or not at all.
            fits = len(taken) < TOGETHER and ended.synthetic is self._waiting[0].synthetic
            (taken if fits else left).append(ended)
        self._taken, self._waiting = taken, left
        return bool(taken)

    async def _record(self, taken: list[_Ended]) -> None:
        try:
            while True:
                if await self._tried(taken):
                    break
                await asyncio.sleep(AGAIN_S)
        except Exception as error:
            # One of them has undone all: each by itself gets what is its own.
            if len(taken) > 1:
                for ended in taken:
                    await self._record([ended])
            elif isinstance(error, UnrecordableError):
                await self._record([_without_result(taken[0], error)])
            elif not taken[0].recorded.done():
                taken[0].recorded.set_exception(error)
            return
        for ended in taken:
            if not ended.recorded.done():
                ended.recorded.set_result(None)

    async def _tried(self, taken: list[_Ended]) -> bool:
        """Record all or nothing, or leave it to the next holder; false while the record is away."""
        try:
            await self._running.perform(partial(_end, taken), synthetic=taken[0].synthetic)
        except StoreUnavailableError as error:
            log.warning(
                "ends_not_recorded_yet", run_ids=[one.which.run_id for one in taken], error=str(error)
            )
            return False
        except (StaleLeaseError, NotLeaderError):
            log.warning("ends_left_to_next_holder", run_ids=[one.which.run_id for one in taken])
        return True


def _without_result(ended: _Ended, error: UnrecordableError) -> _Ended:
    # What a repository's commands print may hold what JSON in Postgres cannot, a NUL for example.
    log.warning("end_unrecordable", run_id=ended.which.run_id, error=str(error))
    detail = "the result holds text that cannot be recorded (NUL or a lone surrogate)"
    failure = Failure(kind="persistent", code="unrecordable_result", detail=detail)
    end = Fail(failure=failure, output=StageOutput(), evidence=(), duration_s=0.0)
    return _Ended(ended.which, end, ended.synthetic, ended.recorded)


async def _end(taken: list[_Ended], work: Work) -> None:
    for ended in taken:
        await work.decide(run, ended.which.run_id, ended.end)
