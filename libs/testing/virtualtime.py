"""An asyncio loop on which time is a number: waiting costs nothing, nothing is parallel, every run is the same run.

Callbacks run in the order in which they were scheduled, as on every asyncio loop. When none is left, time jumps to the
next timer. There are no sockets, no threads and no signals: what asks for a thread (`asyncio.to_thread`) is run in
place. What is missing raises NotImplementedError.

An `Owner` stands for a process. All that is started in its context belongs to it, so that it can be stopped in mid-air
as by SIGSTOP, and killed.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
#: How often a task is cancelled at the end that goes on all the same, and callbacks that are run for it.
_LAST_WORDS, _LAST_STEPS = 3, 100_000


class Owner:
    """Whoever the callbacks of a context belong to."""

    def __init__(self) -> None:
        self.paused = False
        self.dead = False
        self._held: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def pause(self) -> None:
        """Run nothing of this owner from now on, in the middle of whatever it does."""
        self.paused = True

    def resume(self, loop: VirtualLoop) -> None:
        """Go on, with all that became due meanwhile."""
        self.paused = False
        loop.ready.extend(self._held)
        self._held.clear()

    def kill(self, loop: VirtualLoop) -> None:
        """Cancel everything. What a task still does on its way out must find every door closed: look at `dead`."""
        self.dead = True
        self.resume(loop)
        for task in self._tasks:
            task.cancel()

    def context(self) -> contextvars.Context:
        """Return a new context in which everything belongs to this owner."""
        context = contextvars.copy_context()
        context.run(_OWNER.set, self)
        return context

    def _adopt(self, task: asyncio.Task[Any]) -> None:
        if len(self._tasks) > 64:
            self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)
        if self.dead:
            task.cancel()


_OWNER: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("owner", default=None)


def owner() -> Owner | None:
    """Return whom the present callback belongs to."""
    return _OWNER.get()


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it is in memory: `asyncio.wait` and task groups have sets."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop; `run` is its `asyncio.run`."""

    def __init__(self, most_steps: int = sys.maxsize) -> None:
        #: What happens next.
        self.ready: deque[asyncio.Handle] = deque()
        #: Called with the context of every error that nobody caught.
        self.on_error: Callable[[dict[str, Any]], None] = lambda context: None
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._now = 0.0
        self._numbers = 0
        self._running = False
        #: Callbacks that were run, and how many may be: what goes in circles at one moment would never end.
        self.steps = 0
        self.most_steps = most_steps

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main` ends and return its result; whatever else is left is cancelled, as by `asyncio.run`.

        Raises RuntimeError when it waits for what cannot happen, or takes too many steps.
        """
        task: asyncio.Task[T] = self.create_task(main)
        asyncio._set_running_loop(self)
        self._running = True
        try:
            while not task.done():
                self._step()
            return task.result()
        finally:
            self._cancel_all()
            self._running = False
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        """Let the next thing happen."""
        if not self.ready:
            if not self._timers:
                raise RuntimeError("everything waits, and nothing is going to happen")
            when, _, timer = heapq.heappop(self._timers)
            if timer._cancelled:
                return
            self._now = max(when, self._now)
            self.ready.append(timer)
        handle = self.ready.popleft()
        if handle._cancelled:
            return
        holder = handle._context.get(_OWNER)  # type: ignore[attr-defined]
        if holder is not None and holder.paused:
            holder._held.append(handle)
        else:
            handle._run()
        self.steps += 1
        if self.steps > self.most_steps:
            raise RuntimeError(f"it goes in circles: {self.steps:,} steps in {self._now:.0f} s")

    def _cancel_all(self) -> None:
        """Let every task that is left come to its end; some insist on a last word."""
        for _ in range(_LAST_WORDS):
            for task in asyncio.all_tasks(self):
                task.cancel()
            self.most_steps = self.steps + _LAST_STEPS
            while self.ready and self.steps < self.most_steps:
                self._step()

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call something next."""
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call something after a while."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call something at a time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._numbers += 1
        heapq.heappush(self._timers, (when, self._numbers, timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_: Any,
    ) -> asyncio.Task[Any]:
        """Make a task of the owner of its context."""
        context = context or contextvars.copy_context()
        # Before anything hashes it, which the constructor does.
        self._numbers += 1
        task = _Task.__new__(_Task)
        task.number = self._numbers
        task.__init__(coro, loop=self, name=name or f"task-{self._numbers}", context=context)  # type: ignore[misc]
        adopter = context.get(_OWNER)
        if adopter is not None:
            adopter._adopt(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run something that blocks in place: there are no threads here."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of an error that nobody caught."""
        self.on_error(context)

    def get_debug(self) -> bool:
        """Say that nothing is looked at twice."""
        return False

    def is_running(self) -> bool:
        """Tell whether it runs."""
        return self._running

    def is_closed(self) -> bool:
        """Tell that it can be used: there is nothing to close."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is left out when it is due."""
