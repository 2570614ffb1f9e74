"""Admission waits while the machine is short of memory, says so, and goes on."""

from __future__ import annotations

import msgspec
import pytest

from libs.runtime.config import ConfigError
from libs.sandbox.machine import Memory
from libs.testing.world import World
from services.scheduler.adapters.oversight import Oversight, require_room
from services.scheduler.handlers.wishes import oversee
from tests.system.walking import end, sound, state_of, submit


class Machine:
    """A machine of 16,000 MB; a test says what is available."""

    def __init__(self) -> None:
        self.available = 15_000

    def measured(self, _: object) -> Memory:
        return Memory(total_mb=16_000, available_mb=self.available)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def oversight(world: World, machine: Machine) -> Oversight:
    scheduler = world.running["scheduler"]
    scheduler.config = msgspec.structs.replace(scheduler.config, config_memory_scope="host")
    return Oversight(scheduler, oversee, machine.measured)


async def test_new_work_waits_while_memory_is_short_and_says_so(
    world: World, machine: Machine, oversight: Oversight
) -> None:
    machine.available = 300
    await oversight.step()
    await submit(world, "t1")
    await world.settle()
    assert (await state_of(world, "t1")).phase == "queued"
    (held,) = [event for event in await world.events() if event.type == "admission_held"]
    assert "300 MB of the machine's memory are available, 612 MB are needed" in str(held.event)

    await oversight.step()
    machine.available = 700  # enough, but not by the margin
    await oversight.step()
    assert (await state_of(world, "t1")).phase == "queued"

    machine.available = 10_000
    await oversight.step()
    await world.settle()
    assert end(await sound(world), "t1") == "task_done"
    types = [event.type for event in await world.events() if event.stream == "admission-main"]
    assert (types.count("admission_held"), types.count("admission_released")) == (1, 1)


async def test_where_nobody_looks_at_the_memory_any_more_it_holds_nobody_back(
    world: World, machine: Machine, oversight: Oversight
) -> None:
    """The hold is in the record: else a scheduler that is told not to look would never lift it."""
    machine.available = 300
    await oversight.step()
    await submit(world, "t1")
    scheduler = world.running["scheduler"]
    scheduler.config = msgspec.structs.replace(scheduler.config, config_memory_scope="none")
    await oversight.step()
    await world.settle()
    assert end(await sound(world), "t1") == "task_done"


async def test_a_look_at_a_machine_that_is_well_writes_nothing(world: World, oversight: Oversight) -> None:
    before = len(await world.events())
    for _ in range(3):
        await oversight.step()
    assert len(await world.events()) == before


async def test_a_standstill_that_lasts_is_told(world: World, machine: Machine, oversight: Oversight) -> None:
    """F10: idle with ready work for some time is an alert."""
    scheduler = world.running["scheduler"]
    scheduler.config = msgspec.structs.replace(scheduler.config, config_stalled_after_s=1e-9)
    machine.available = 300
    await oversight.step()
    await submit(world, "t1")
    await oversight.step()
    await oversight.step()
    (stalled,) = facts_of_stall(await world.events())
    assert (stalled.ready, stalled.running) == (1, 0)
    assert "300 MB" in stalled.reason
    machine.available = 10_000
    await oversight.step()
    await world.settle()
    await oversight.step()
    assert [event.type for event in await world.events() if event.stream == "stall-main"] == [
        "admission_stalled",
        "admission_flows",
    ]


def facts_of_stall(events: list[object]) -> list[object]:
    return [event.event for event in events if event.type == "admission_stalled"]  # type: ignore[attr-defined]


def test_a_machine_on_which_nothing_could_ever_start_is_refused_by_name(world: World) -> None:
    config = msgspec.structs.replace(world.running["scheduler"].config, config_memory_scope="host")
    with pytest.raises(ConfigError, match="AUTOPILOT_CONFIG_MEMORY_RESERVE_MB"):
        require_room(config, lambda _: Memory(total_mb=600, available_mb=600))
    require_room(config, lambda _: Memory(total_mb=612, available_mb=0))
