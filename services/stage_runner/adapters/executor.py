"""Runs stages in the background, one asyncio task each, and makes sure that each end is recorded."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import structlog

from contracts.stage import StageOutput
from contracts.task import Failure, RunRequest
from libs.eventstore.store import StaleLeaseError
from libs.runtime.running import NotLeaderError, Running
from libs.sandbox import disk
from libs.sandbox.runner import heard
from services.stage_runner.adapters.ends import Ends
from services.stage_runner.adapters.limits import listener, overrun
from services.stage_runner.adapters.memory import Account
from services.stage_runner.adapters.places import Places
from services.stage_runner.adapters.stages.context import StageContext, StageError
from services.stage_runner.adapters.timebox import OverrunError, box_of, boxed
from services.stage_runner.domain import Complete, Fail, RunCommand, Stop, Warn, run, which_of

log = structlog.get_logger(__name__)

#: Seconds a cancelled run gets to remove its worktree and look its effects up.
CLEAN_UP_S = 4.0
#: Seconds for which the end of a run is put off until the disk has room again: made again at once, it would fail again.
ROOM_S = 120.0
#: Seconds between two looks whether what is under way only waits.
LOOK_S = 0.01

Carry = Callable[[StageContext], Awaitable[StageOutput]]
Make = Callable[[RunRequest], StageContext]


class BackgroundExecutor:
    """Holds this replica's runs."""

    def __init__(
        self, running: Running, make: Make, carry: Carry, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._running, self._make, self._carry, self._monotonic = running, make, carry, monotonic
        config = running.config
        self._ends = Ends(running)
        #: Whether no run may be begun.
        self.halted = False
        self._places = config.config_places
        # Without this, a few long suites would keep the short stages of every other task waiting.
        self._heavy = Places(config.config_heavy_places or os.cpu_count() or 1)
        self._memory = Account.of(config)
        self._data = config.data
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._stopping: dict[str, str] = {}
        self._begun: set[str] = set()
        self._contexts: dict[str, StageContext] = {}
        #: Runs of which nobody has looked whether they were to be stopped before they were under way here.
        self._unseen: set[str] = set()

    def free(self) -> int:
        """Return how many more runs may be started now."""
        return 0 if self.halted else self._places - len(self._runs)

    def working_on(self, run_id: str) -> bool:
        """Tell whether a run is under way here."""
        return run_id in self._runs

    def seen(self, run_id: str) -> bool:
        """Tell whether this was asked of a run before."""
        unseen = run_id in self._unseen
        self._unseen.discard(run_id)
        return not unseen

    def start(self, request: RunRequest) -> None:
        """Begin a run that has been claimed."""
        if request.run_id not in self._runs:
            self._unseen.add(request.run_id)
            task = asyncio.create_task(self._run(request), name=request.run_id)
            self._runs[request.run_id] = task
            task.add_done_callback(lambda _: self._forget(request.run_id))

    def stop(self, run_id: str, reason: str) -> bool:
        """Kill a run's processes and record that it was cancelled; False if it is not under way here."""
        task = self._runs.get(run_id)
        if task is None:
            return False
        if run_id in self._stopping:
            # A second cancellation would cut short what the first one has set going: the clean-up.
            return True
        self._stopping[run_id] = reason
        # A task that is cancelled before its first step never enters its own `try`: it looks at `_stopping` itself.
        if run_id in self._begun:
            task.cancel()
        return True

    def hear(self, run_id: str) -> None:
        """Let a run that waits for tokens look for its answer."""
        if context := self._contexts.get(run_id):
            context.tokens.hear()

    async def idle(self) -> None:
        """Wait until nothing is under way but what waits for tokens."""
        while busy := [task for run_id, task in self._runs.items() if not self._waits(run_id)]:
            await asyncio.wait(busy, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)

    def _waits(self, run_id: str) -> bool:
        context = self._contexts.get(run_id)
        return context is not None and context.tokens.waiting

    async def abandon(self) -> None:
        """Stop everything without recording an end: whoever holds the lease next goes on with it."""
        for task in list(self._runs.values()):
            task.cancel()
        await asyncio.gather(self._ends.abandon(), *self._runs.values(), return_exceptions=True)

    def _forget(self, run_id: str) -> None:
        self._runs.pop(run_id, None)
        self._stopping.pop(run_id, None)
        self._begun.discard(run_id)
        self._contexts.pop(run_id, None)
        self._unseen.discard(run_id)

    async def _run(self, request: RunRequest) -> None:
        which = which_of(request)
        context = self._contexts[request.run_id] = self._make(request)
        self._begun.add(request.run_id)
        try:
            if request.run_id in self._stopping:
                raise asyncio.CancelledError
            end = await self._carried(context)
        except asyncio.CancelledError:
            reason = self._stopping.get(request.run_id)
            if reason is None:
                raise
            # Uncancelled on purpose: what follows is the orderly end that was asked for.
            current = asyncio.current_task()
            while current is not None and current.cancelling():
                current.uncancel()
            try:
                await asyncio.wait_for(context.clean_up(), CLEAN_UP_S)
            except Exception:
                # The run stays open: resumption finds it with its stop and cleans up again, so nothing stays unknown.
                log.exception("clean_up_failed", run_id=request.run_id)
                return
            end = Stop(which=which, reason=reason, gone=True)
        # From here on a stop comes too late. Were it to cut this short, the run would seem to be nobody's, and begin anew.
        self._begun.discard(request.run_id)
        await self._ends.record(which, end, synthetic=request.input.spec.synthetic)

    async def _carried(self, context: StageContext) -> RunCommand:
        output, request = StageOutput(), context.request
        was_full = _never
        began = self._monotonic()
        try:
            async with (
                self._heavy.held(request),
                self._memory.held(request),
                self._disk_watched(request) as was_full,
            ):
                # Waiting for one of the few places is no work of the stage.
                began = self._monotonic()
                output, failure = await self._in_time(context), None
        except StageError as error:
            output, failure = error.output, error.failure
        except OverrunError as error:
            failure = error.box.failure(request.stage)
            context.exceeded.append(overrun(error))
            await self._cleaned_up(context)
        except (StaleLeaseError, NotLeaderError):
            raise
        except Exception as error:
            log.exception("stage_failed", run_id=request.run_id)
            detail = f"{type(error).__name__}: {error}; see the stage-runner's log"
            failure = Failure(kind="transient", code="internal_error", detail=detail)
        evidence, exceeded = tuple(context.kept), tuple(context.exceeded)
        duration_s = self._monotonic() - began
        if failure is not None and was_full():
            output, failure = StageOutput(), _disk_full(request)
            await disk.room(self._data, ROOM_S)
        if failure is None:
            return Complete(output=output, evidence=evidence, duration_s=duration_s, exceeded=exceeded)
        return Fail(
            failure=failure, output=output, evidence=evidence, duration_s=duration_s, exceeded=exceeded
        )

    def _disk_watched(self, request: RunRequest) -> AbstractAsyncContextManager[Callable[[], bool]]:
        # Simulated work needs no room.
        return nullcontext(_never) if request.input.spec.engine == "noop" else disk.watched(self._data)

    async def _in_time(self, context: StageContext) -> StageOutput:
        request, box = context.request, box_of(context.request)

        async def warn(elapsed_s: float) -> None:
            assert box is not None, "only what has a limit comes near it"
            wish = Warn(setting=box.setting, limit_s=box.seconds, elapsed_s=round(elapsed_s, 1))
            await self._running.perform(
                lambda work: work.decide(run, request.run_id, wish), synthetic=request.input.spec.synthetic
            )

        with heard(listener(context)):
            return await boxed(box, self._carry(context), warn)

    async def _cleaned_up(self, context: StageContext) -> None:
        try:
            await asyncio.wait_for(context.clean_up(), CLEAN_UP_S)
        except Exception:
            # The next attempt looks for what this one may have done outside.
            log.exception("clean_up_failed", run_id=context.request.run_id)


def _never() -> bool:
    return False


def _disk_full(request: RunRequest) -> Failure:
    detail = f"the disk was full while {request.stage} ran, so how it failed says nothing"
    return Failure(kind="environmental", code="disk_full", detail=detail)
