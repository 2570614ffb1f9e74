"""What runs may take of memory is set aside for them before they begin."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contracts.task import Stage, StageInput, StageRequested, TaskSpec
from libs.sandbox.machine import Memory
from libs.testing.virtualtime import VirtualLoop
from services.stage_runner.adapters import places
from services.stage_runner.adapters.memory import Account, ceiling_of
from services.stage_runner.adapters.stages.context import StageError

MACHINE = Memory(total_mb=16_000, available_mb=15_000)


def request(stage: Stage = "implement", memory_mb: int = 4_000, engine: str = "command") -> StageRequested:
    repo = {"name": "r", "url": "u", "verify": {"test": "t", "build": "b"}, "fail_to_pass": ["f"]}
    wish = {"title": "t", "engine": engine, "repos": [repo], "budget": {"memory_mb": memory_mb}}
    given = StageInput(spec=msgspec.convert(wish, TaskSpec))
    return StageRequested(task_id="t1", run_id="r", stage=stage, attempt=1, input=given)


def begun(account: Account, *requests: StageRequested, seconds: float = 10) -> list[int]:
    """Let runs ask, and tell which have begun after so many seconds."""

    async def ask() -> list[int]:
        got: list[int] = []

        async def hold(number: int, request: StageRequested) -> None:
            async with account.held(request):
                got.append(number)
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(hold(number, one)) for number, one in enumerate(requests)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return got

    return VirtualLoop().run(ask())


def test_five_agents_of_four_gigabytes_are_not_begun_on_sixteen() -> None:
    """F9: they were, and the machine went down; at the start of each, memory was still available."""
    assert begun(Account(1_000, lambda: MACHINE), *[request()] * 5) == [0, 1, 2]


def test_what_is_not_available_is_waited_for() -> None:
    left = iter([4_999, 4_999, 5_000])
    account = Account(1_000, lambda: Memory(total_mb=16_000, available_mb=next(left)))
    assert begun(account, request()) == [0]
    assert list(left) == []


def test_what_one_gives_back_another_takes() -> None:
    account = Account(1_000, lambda: MACHINE)

    async def ask() -> str:
        async with account.held(request(memory_mb=14_000)):
            waiting = asyncio.create_task(anext_of(account))
            await asyncio.sleep(0)
            assert not waiting.done()
        return await waiting

    async def anext_of(account: Account) -> str:
        async with account.held(request(memory_mb=14_000)):
            return "begun"

    assert VirtualLoop().run(ask()) == "begun"


def test_what_never_fits_is_refused_by_name() -> None:
    with pytest.raises(StageError) as caught:
        begun_once(Account(1_000, lambda: MACHINE), request(memory_mb=15_001))
    assert (caught.value.failure.kind, caught.value.failure.code) == ("impossible", "memory_ceiling")
    assert "budget.memory_mb" in caught.value.failure.detail


def begun_once(account: Account, request: StageRequested) -> None:
    async def ask() -> None:
        async with account.held(request):
            pass

    VirtualLoop().run(ask())


def test_what_executes_nothing_needs_nothing() -> None:
    begun_once(Account(1_000, lambda: Memory(total_mb=500, available_mb=0)), request("think"))


def test_a_verification_may_take_its_ceiling_once_for_each_command_beside_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "VERIFYING", 4)
    assert ceiling_of(request("verify", 100)) == 300
    assert ceiling_of(request("implement", 100)) == 100


def test_what_is_more_than_the_machine_only_if_all_come_to_their_ceiling_has_it_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "VERIFYING", 4)
    account = Account(1_000, lambda: Memory(total_mb=4_096, available_mb=3_000))
    assert ceiling_of(request("verify", 1_500)) == 4_500
    assert begun(account, request("verify", 1_500), request("implement", 100)) == [0]


def test_where_nobody_measures_everything_fits() -> None:
    assert begun(Account(1_000, None), *[request(memory_mb=60_000)] * 3) == [0, 1, 2]


def test_it_is_set_aside_for_as_many_commands_as_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stage `verify` lets run beside each other is what the account counts on."""
    monkeypatch.setattr(places, "VERIFYING", 2)
    monkeypatch.setattr(places, "SEARCHING", 2)
    assert ceiling_of(request("verify", 100)) == 200
    assert ceiling_of(request("implement", 100, "repair")) == 200


def test_who_waits_for_much_is_not_overtaken_for_ever_by_those_who_want_little() -> None:
    account = Account(1_000, lambda: MACHINE)
    begun: list[str] = []

    async def work(name: str, memory_mb: int, seconds: float) -> None:
        async with account.held(request(memory_mb=memory_mb)):
            begun.append(name)
            await asyncio.sleep(seconds)

    async def ask() -> None:
        tasks = [asyncio.create_task(work("first", 4_000, 2)), asyncio.create_task(work("large", 14_000, 2))]
        for number in range(20):
            await asyncio.sleep(1)
            tasks.append(asyncio.create_task(work(f"small {number}", 4_000, 2)))
        await asyncio.gather(*tasks)

    VirtualLoop().run(ask())
    assert begun.index("large") == 1
