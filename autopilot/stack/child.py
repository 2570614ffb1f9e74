"""One supervised process: what it is, and the loop that keeps it running."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import psutil
import structlog

from autopilot.stack import processes, status
from autopilot.stack.errors import StackError
from autopilot.stack.exits import Process, wait_for_exit
from autopilot.stack.liveness import Liveness, LivenessPolicy
from autopilot.stack.logs import Pump, RotatedLog
from autopilot.stack.restart import RestartPolicy, Restarts
from autopilot.stack.spawn import spawn
from autopilot.stack.status import ProcessState, ProcessStatus
from autopilot.stack.watchdog import Watchdog
from autopilot.stack.zygote import Zygote

_log = structlog.get_logger(__name__)

_PROBE_S = 0.05
_PROBE_TIMEOUT_S = 3.0
_SWEEPS = 100


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """Describes a process to supervise."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log_file: Path
    #: True once it does its work. A `StackError` from it is final: the child is given up.
    ready: Callable[[], Awaitable[bool]]
    #: True when it answers at all, whatever it answers: that the process is worth keeping.
    #: The caller limits how long that takes. None: it is never asked.
    alive: Callable[[], Awaitable[bool]] | None = None
    #: Children that must be ready before each start of this one, and that stop after it.
    depends_on: tuple[str, ...] = ()
    #: Runs before each start and after the last end, to clear what an earlier process left.
    reclaim: Callable[[], Awaitable[None]] | None = None
    #: What asks it to end, and how many seconds it then has; after the last, SIGKILL for its group.
    stop_signals: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)
    #: Sent when the supervisor itself was killed.
    orphan_signal: signal.Signals = signal.SIGKILL
    #: Give it an unprivileged user when the supervisor is root.
    never_root: bool = False
    #: Arguments by which a fork of the zygote becomes this child; empty where none can.
    orders: tuple[str, ...] = ()


class Keeper:
    """Starts one child, starts it again when it crashes or hangs, and stops it."""

    def __init__(
        self,
        child: Child,
        *,
        run_id: str,
        watchdog: Watchdog,
        policy: RestartPolicy,
        liveness: LivenessPolicy,
        on_change: Callable[[str, ProcessState], None],
        zygote: Zygote | None = None,
    ) -> None:
        self.child = child
        self._zygote = zygote
        #: Set while the child is ready.
        self.ready = asyncio.Event()
        #: Set when it will not be started again: stopped or given up.
        self.ended = asyncio.Event()
        self._mark = f"{run_id}/{child.name}/"
        self._watchdog = watchdog
        self._restarts = Restarts(policy)
        self._liveness = Liveness(liveness)
        self._on_change = on_change
        self._output = RotatedLog(child.log_file)
        self._stopping = asyncio.Event()
        self._process: Process | None = None
        self._ready_since: float | None = None
        self.status = ProcessStatus(pid=None, state="waiting", restarts=0, since=status.now())

    async def run(self, dependencies: tuple[Keeper, ...]) -> None:
        """Keep the child running until `stop` or until it is given up."""
        try:
            while not self._stopping.is_set():
                await self._wait_for(dependencies)
                if self._stopping.is_set():
                    break
                reason, final = await self._run_once()
                if self._stopping.is_set():
                    break
                delay = None if final else self._restarts.after_crash(_clock(), self._ready_since)
                if delay is None:
                    _log.error("given_up", child=self.child.name, reason=reason)
                    self._become("given-up", error=reason)
                    return
                _log.warning("child_ended", child=self.child.name, reason=reason, restart_in_s=delay)
                self._become("restarting", error=reason, restarts=self.status.restarts + 1)
                await self._pause(delay)
            self._become("stopped")
        finally:
            self.ended.set()

    def failed(self, error: BaseException) -> None:
        """Report that the loop itself has failed, which is a defect of ours: the child will not come back."""
        _log.error("keeper_failed", child=self.child.name, error=repr(error))
        self._become("given-up", error=repr(error))

    async def stop(self) -> None:
        """Ask the child to end, kill it after its grace, and wait until nothing of it is left."""
        self._stopping.set()
        process, seen = self._process, self.status.identity
        if process is not None and seen is not None:
            self._become("stopping", pid=process.pid, identity=seen)
            for signum, seconds in self.child.stop_signals:
                processes.send(process.pid, seen, signum)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self.ended.wait()
                        return
            _log.warning("killed_after_grace", child=self.child.name)
            processes.send(process.pid, seen, signal.SIGKILL)
            processes.kill_group(process.pid, seen)
        await self.ended.wait()

    async def _run_once(self) -> tuple[str, bool]:
        """Run the child to its end and clear up after it; returns why it ended and whether that is final."""
        child = self.child
        try:
            if child.reclaim:
                await child.reclaim()
            if self._stopping.is_set():
                # `stop` found no process to signal while the above was waiting: none may appear now.
                return "stopped before its start", False
            process = await self._spawn()
        except (OSError, StackError) as error:
            return str(error), False
        assert process.stdout is not None
        if self._stopping.is_set():
            # Nor after that.
            process.kill()
            process.wait()
            process.stdout.close()
            return "stopped at its start", False
        seen = processes.identity(process.pid) or ""
        self._process = process
        self._ready_since = None
        self._liveness.started()
        self._watchdog.watch(process.pid, child.orphan_signal)
        pump = Pump(process.stdout.fileno(), self._output)
        self._become("starting", pid=process.pid, identity=seen)
        loop = asyncio.get_running_loop()
        asking = (
            loop.create_task(self._probe(process, seen), name=f"probe-{child.name}"),
            loop.create_task(self._end_when_hung(process, seen), name=f"liveness-{child.name}"),
        )
        try:
            code = await wait_for_exit(process)
        finally:
            self.ready.clear()
            for task in asking:
                task.cancel()
            await self._clear(process, seen)
            pump.finish()
            process.stdout.close()
            self._output.close()
        await asyncio.wait(asking)
        refusal, silence = (None if task.cancelled() else task.result() for task in asking)
        return refusal or silence or _describe(code), refusal is not None

    async def _spawn(self) -> Process:
        """Start the child, as a fork of the zygote where that is possible; raises `OSError`."""
        child, mark = self.child, f"{self._mark}{self.status.restarts}"
        if self._zygote and child.orders:
            forked = await self._zygote.fork(child.orders, child.env, child.cwd, mark)
            if forked is not None:
                return forked
        return spawn(
            child.argv,
            env=child.env,
            cwd=child.cwd,
            mark=mark,
            death_signal=child.orphan_signal,
            never_root=child.never_root,
        )

    async def _clear(self, process: Process, seen: str) -> None:
        """Kill what the ended process has left: its group, its marked descendants, its own kind of remains."""
        if process.poll() is None:
            # Only when this task is being cancelled: the child is still running.
            process.kill()
            process.wait()
        processes.kill_group(process.pid, seen)
        for _ in range(_SWEEPS):
            if not processes.kill_marked(self._mark):
                break
            await asyncio.sleep(0.01)
        self._watchdog.forget(process.pid)
        self._process = None
        if self.child.reclaim and self._stopping.is_set():
            with contextlib.suppress(OSError, StackError):
                await self.child.reclaim()

    async def _probe(self, process: Process, seen: str) -> str | None:
        """Ask until the child is ready; returns a reason if it says that it never will be, and kills it."""
        while True:
            try:
                async with asyncio.timeout(_PROBE_TIMEOUT_S):
                    answer = await self.child.ready()
            except OSError:
                answer = False
            except StackError as error:
                processes.send(process.pid, seen, signal.SIGKILL)
                return str(error)
            if answer:
                break
            await asyncio.sleep(_PROBE_S)
        self._ready_since = _clock()
        self._liveness.answered()
        if not self._stopping.is_set():
            self._become("ready", pid=process.pid, identity=seen)
            self.ready.set()
        return None

    async def _end_when_hung(self, process: Process, seen: str) -> str | None:
        """Ask whether it answers, for as long as it runs; kills it when it hangs and returns the reason."""
        alive, every_s = self.child.alive, self._liveness.policy.every_s
        if alive is None or not every_s:
            return None
        while True:
            asked_at = _clock()
            try:
                async with asyncio.timeout(every_s):
                    answered = await alive()
            except OSError:
                answered = False
            await asyncio.sleep(asked_at + every_s - _clock())
            verdict = self._liveness.heard(answered, asked_at, _clock())
            if self._stopping.is_set():
                return None
            if verdict == "fine" and self.status.state == "hung":
                self._answers_again(process, seen)
            if verdict in ("fine", "silent"):
                continue
            reason = f"{self._liveness.silence} ({_doing(process.pid)})"
            self.ready.clear()
            if verdict == "hung":
                _log.error("child_hung", child=self.child.name, reason=reason)
                self._become("hung", pid=process.pid, identity=seen, error=reason)
                processes.send(process.pid, seen, signal.SIGKILL)
                return f"{reason}: ended"
            if self.status.state != "hung":
                reason += "; it was ended too often for that to be tried again soon"
                _log.error("child_stuck", child=self.child.name, reason=reason)
                self._become("hung", pid=process.pid, identity=seen, error=reason)

    def _answers_again(self, process: Process, seen: str) -> None:
        _log.warning("child_answers_again", child=self.child.name)
        if self._ready_since is None:
            self._become("starting", pid=process.pid, identity=seen)
        else:
            self._become("ready", pid=process.pid, identity=seen)
            self.ready.set()

    async def _wait_for(self, dependencies: tuple[Keeper, ...]) -> None:
        if all(other.ready.is_set() for other in dependencies):
            return
        self._become("waiting")
        for other in dependencies:
            await self._or_stopping(other.ready.wait())

    async def _pause(self, seconds: float) -> None:
        await self._or_stopping(asyncio.sleep(seconds))

    async def _or_stopping(self, waiting: Awaitable[object]) -> None:
        """Wait for something or for `stop`, whichever comes first."""
        both = {asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()

    def _become(
        self,
        state: ProcessState,
        *,
        pid: int | None = None,
        identity: str | None = None,
        error: str | None = None,
        restarts: int | None = None,
    ) -> None:
        self.status = ProcessStatus(
            pid=pid,
            identity=identity,
            state=state,
            restarts=self.status.restarts if restarts is None else restarts,
            since=status.now(),
            error=error or self.status.error,
        )
        self._on_change(self.child.name, state)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _doing(pid: int) -> str:
    """Tell what the kernel says of a process: a hint at why it is silent."""
    try:
        return psutil.Process(pid).status()
    except psutil.Error:
        return "ended"


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
