"""A circuit breaker: after repeated failures of something outside, stop asking it for a while.

The counting and the states are aiobreaker's. What it leaves open is closed here: the failing call raises its own
error and not the breaker's, time is a monotonic clock that is passed in (the library mixes naive local time and UTC,
and warns about it from Python 3.12 on), and half-open lets one caller through, not all that wait.

CircuitOpenError   the circuit is open, or its one trial is under way
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Literal, ParamSpec, TypeVar, cast

from aiobreaker.circuitbreaker import CircuitBreaker
from aiobreaker.listener import CircuitBreakerListener
from aiobreaker.state import CircuitBreakerError, CircuitBreakerState

P = ParamSpec("P")
T = TypeVar("T")

State = Literal["closed", "open", "half_open"]

_STATES: dict[CircuitBreakerState, State] = {
    CircuitBreakerState.CLOSED: "closed",
    CircuitBreakerState.OPEN: "open",
    CircuitBreakerState.HALF_OPEN: "half_open",
}


class CircuitOpenError(Exception):
    """The circuit is open: nothing was called."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"{name} is left alone for {retry_after_s:.1f} s after repeated failures")
        #: What is not called, and seconds until it makes sense to ask again.
        self.name, self.retry_after_s = name, retry_after_s


class Breaker:
    """Guards calls of one thing outside, within one process. It does not limit how long a call takes: the call does."""

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        reset_s: float = 30.0,
        exclude: tuple[type[Exception], ...] = (),
        on_change: Callable[[str, State, State], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._reset_s, self._monotonic = reset_s, monotonic
        self._opened_at = 0.0
        self._trying = False
        self._on_change = on_change
        self._state: State = "closed"
        self._circuit = _Circuit(fail_max=failures, exclude=exclude, listeners=[_Listener(self._changed)])

    @property
    def state(self) -> State:
        """Tell the circuit's state; open turns half-open only when somebody calls."""
        return self._state

    @property
    def retry_after_s(self) -> float:
        """Seconds until a call is let through; 0 where it is let through now."""
        if self._state == "closed":
            return 0.0
        return max(self._opened_at + self._reset_s - self._monotonic(), 0.0)

    async def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call and return what the function returns, or raise what it raises. Raises CircuitOpenError.

        Errors of the classes in `exclude` are answers, not failures.
        """
        trial = self._state != "closed"
        if trial:
            if self._trying or self.retry_after_s > 0:
                raise CircuitOpenError(self.name, self.retry_after_s)
            self._trying = True
        try:
            return cast(T, await self._circuit.call_async(function, *args, **kwargs))
        except CircuitBreakerError as error:
            # The call that trips the circuit has its own error underneath; the caller should see that one.
            if error.__cause__ is None:
                raise CircuitOpenError(self.name, self.retry_after_s) from None
            raise error.__cause__ from error.__cause__.__cause__
        finally:
            # A cancelled trial has shown nothing: the circuit stays half-open and the next caller is the trial.
            if trial:
                self._trying = False

    def _changed(self, new: State) -> None:
        old, self._state = self._state, new
        if new == "open":
            self._opened_at = self._monotonic()
        if self._on_change is not None and old != new:
            self._on_change(self.name, old, new)


class _Circuit(CircuitBreaker):
    """Keeps no time of its own: without a time of opening, its open state lets the next call try."""

    @property
    def opens_at(self) -> datetime | None:
        return None

    def open(self) -> None:
        # A call that began before the circuit opened and fails now says nothing new.
        if self._state_storage.state is CircuitBreakerState.OPEN:
            return
        self._state_storage.state = CircuitBreakerState.OPEN
        self.state = CircuitBreakerState.OPEN


class _Listener(CircuitBreakerListener):
    def __init__(self, changed: Callable[[State], None]) -> None:
        self._changed = changed

    def state_change(self, breaker: Any, old: Any, new: Any) -> None:
        self._changed(_STATES[new.state])
