from __future__ import annotations

import asyncio

import pytest

from libs.resilience.breaker import Breaker, CircuitOpenError, State


class OutageError(Exception):
    """The other side is broken."""


class NotFoundError(Exception):
    """An answer, though not the wished one."""


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


class Other:
    """The thing outside."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    async def ask(self, question: str = "?") -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return question + "!"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def other() -> Other:
    return Other()


@pytest.fixture
def changes() -> list[tuple[str, State, State]]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[tuple[str, State, State]]) -> Breaker:
    return Breaker(
        "forge",
        failures=3,
        reset_s=30,
        exclude=(NotFoundError,),
        on_change=lambda *change: changes.append(change),
        monotonic=clock,
    )


async def trip(breaker: Breaker, other: Other) -> None:
    other.error = OutageError("down")
    for _ in range(3):
        with pytest.raises(OutageError):
            await breaker.call(other.ask)


async def test_calls_go_through_with_their_arguments(breaker: Breaker, other: Other) -> None:
    assert await breaker.call(other.ask, "well") == "well!"
    assert (breaker.state, breaker.retry_after_s) == ("closed", 0.0)


async def test_every_failing_call_raises_its_own_error_the_tripping_one_too(
    breaker: Breaker, other: Other
) -> None:
    other.error = OutageError("down")
    for _ in range(3):
        with pytest.raises(OutageError) as raised:
            await breaker.call(other.ask)
        assert raised.value is other.error
    assert breaker.state == "open"


async def test_an_open_circuit_calls_nothing_and_tells_when_to_come_back(
    breaker: Breaker, other: Other, clock: Clock
) -> None:
    await trip(breaker, other)
    clock.time += 10
    with pytest.raises(CircuitOpenError) as raised:
        await breaker.call(other.ask)
    assert (raised.value.name, raised.value.retry_after_s) == ("forge", 20.0)
    assert breaker.retry_after_s == 20.0
    assert other.calls == 3


async def test_a_success_in_between_starts_the_count_anew(breaker: Breaker, other: Other) -> None:
    for _ in range(3):
        for error in (OutageError(), OutageError(), None):
            other.error = error
            if error is None:
                await breaker.call(other.ask)
            else:
                with pytest.raises(OutageError):
                    await breaker.call(other.ask)
    assert breaker.state == "closed"


async def test_business_errors_are_answers(breaker: Breaker, other: Other) -> None:
    other.error = NotFoundError()
    for _ in range(10):
        with pytest.raises(NotFoundError):
            await breaker.call(other.ask)
    assert breaker.state == "closed"


async def test_a_trial_that_succeeds_closes(
    breaker: Breaker, other: Other, clock: Clock, changes: list[tuple[str, State, State]]
) -> None:
    await trip(breaker, other)
    clock.time += 30
    other.error = None
    assert await breaker.call(other.ask) == "?!"
    assert breaker.state == "closed"
    assert changes == [
        ("forge", "closed", "open"),
        ("forge", "open", "half_open"),
        ("forge", "half_open", "closed"),
    ]


async def test_a_trial_that_fails_opens_for_another_while(
    breaker: Breaker, other: Other, clock: Clock
) -> None:
    await trip(breaker, other)
    clock.time += 31
    with pytest.raises(OutageError):
        await breaker.call(other.ask)
    assert (breaker.state, breaker.retry_after_s) == ("open", 30.0)
    with pytest.raises(CircuitOpenError):
        await breaker.call(other.ask)
    assert other.calls == 4


async def test_half_open_admits_exactly_one(breaker: Breaker, other: Other, clock: Clock) -> None:
    await trip(breaker, other)
    clock.time += 30
    go = asyncio.Event()
    entered = 0

    async def slow() -> str:
        nonlocal entered
        entered += 1
        await go.wait()
        return "up again"

    calls = [asyncio.create_task(breaker.call(slow)) for _ in range(5)]
    while entered == 0:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert entered == 1
    assert results.count("up again") == 1
    assert sum(isinstance(result, CircuitOpenError) for result in results) == 4
    assert breaker.state == "closed"


async def test_a_cancelled_trial_leaves_the_next_caller_to_try(
    breaker: Breaker, other: Other, clock: Clock
) -> None:
    await trip(breaker, other)
    clock.time += 30
    trial = asyncio.create_task(breaker.call(asyncio.sleep, 3_600))
    await asyncio.sleep(0)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    other.error = None
    assert await breaker.call(other.ask) == "?!"
    assert breaker.state == "closed"


async def test_a_call_that_began_before_the_circuit_opened_does_not_prolong_it(
    breaker: Breaker, other: Other, clock: Clock
) -> None:
    go = asyncio.Event()

    async def late() -> None:
        await go.wait()
        raise OutageError("late")

    begun = asyncio.create_task(breaker.call(late))
    await asyncio.sleep(0)
    await trip(breaker, other)
    clock.time += 20
    go.set()
    with pytest.raises(OutageError, match="late"):
        await begun
    assert (breaker.state, breaker.retry_after_s) == ("open", 10.0)
