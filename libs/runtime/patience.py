"""A time limit that costs nothing where nothing is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class NoDecisionError(Exception):
    """A handler did not come to a decision in time."""


async def within(seconds: float, awaited: Awaitable[T]) -> T:
    """Await something for so long. Raises NoDecisionError, and whatever is raised there.

    A timer of the loop takes 5 µs to set and to take back, which is more than most handlers need; so it is set only when
    the first step has ended in a wait.
    """
    steps = awaited.__await__()
    try:
        first = next(steps)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await _Rest(steps, first)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise NoDecisionError(f"no decision within {seconds:g} s") from error


class _Rest(Generic[T]):
    """What is left of something awaited that has given a future to wait for."""

    def __init__(self, steps: Generator[Any, Any, T], first: Any) -> None:
        self._steps, self._first = steps, first

    def __await__(self) -> Generator[Any, Any, T]:
        waited_for = self._first
        while True:
            try:
                sent = yield waited_for
            except BaseException as error:
                go_on: Callable[[], Any] = partial(self._steps.throw, error)
            else:
                go_on = partial(self._steps.send, sent)
            try:
                waited_for = go_on()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
