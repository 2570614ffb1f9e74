"""Seven services over a bus that loses, forges and hands out again: tasks come out as if it had not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from libs.busaudit.auditor import Auditor
from libs.messaging.memoryserver import MemoryServer
from libs.messaging.topology import derive
from libs.testing.audit import auditor_of
from libs.testing.world import World
from tests.system.faults import story
from tests.system.walking import SERVICES, sound, submit, wait_out

BODIES = {"t1": "fail verify 1", "t2": "fail verify 9", "t3": ""}


async def go_on(world: World, auditor: Auditor, rounds: int = 30) -> None:
    """Let services and auditor take their turns, and time pass."""
    for _ in range(rounds):
        await auditor.look()
        await world.step()
        world.clock.advance(0.5)
        world.server.wake()


async def finish(world: World, auditor: Auditor) -> list[Any]:
    """Go on until everything has come due and the bus is sound; return what happened."""
    for _ in range(4):
        await go_on(world, auditor)
        await wait_out(world)
    assert (await world.store.bus_epoch()).sound
    return story(await sound(world))


_UNDISTURBED: list[Any] = []


@pytest.fixture
async def undisturbed(make: Any) -> list[Any]:
    """The same tasks on a sound bus, played once; the auditor leaves it alone."""
    if _UNDISTURBED:
        return _UNDISTURBED
    world = await make(SERVICES)
    auditor = auditor_of(world)
    for task_id, body in BODIES.items():
        await submit(world, task_id, body=body)
    told = await finish(world, auditor)
    assert (await world.store.bus_epoch()).epoch == 1
    _UNDISTURBED.extend(told)
    return told


def wiped(server: MemoryServer, chance: random.Random) -> None:
    server.wipe()


def cut_short(server: MemoryServer, chance: random.Random) -> None:
    server.truncate(chance.randint(server.first_sequence, server.last_sequence - 1))


def one_deleted(server: MemoryServer, chance: random.Random) -> None:
    server.delete(chance.choice([sequence for sequence, _ in server.numbered()]))


def acknowledged(server: MemoryServer, chance: random.Random) -> None:
    """Late acknowledgements take what is out off its durable, and what is pending with it."""
    for durable in server.durables:
        for taken in server.take(durable, 10):
            server.settle(durable, taken.sequence)


@pytest.mark.parametrize("fault", [wiped, cut_short, one_deleted, acknowledged])
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_lost_no_outcome_changes(
    make: Any,
    undisturbed: list[Any],
    fault: Callable[[MemoryServer, random.Random], None],
    seed: int,
) -> None:
    world = await make(SERVICES)
    chance, auditor = random.Random(seed), auditor_of(world, seed=seed)
    topology = derive([service.declaration for service in world.services.values()])
    for task_id, body in BODIES.items():
        await submit(world, task_id, body=body)
    for _ in range(4):
        await go_on(world, auditor, chance.randint(1, 8))
        if world.server.last_sequence > world.server.first_sequence:
            fault(world.server, chance)
        if chance.random() < 0.5:
            # The topology's keeper may be there before the auditor.
            world.server.ensure(topology)
    assert await finish(world, auditor) == undisturbed


async def test_what_nobody_recorded_does_not_stay_on_the_bus(make: Any, undisturbed: list[Any]) -> None:
    world = await make(SERVICES)
    auditor = auditor_of(world)
    for task_id, body in BODIES.items():
        await submit(world, task_id, body=body)
    await go_on(world, auditor, 5)
    subject, headers = "autopilot.v1.task.t1.task_done", {"ce-id": "invented", "Nats-Msg-Id": "invented"}
    world.server.inject(subject, headers, b"{}")
    assert await finish(world, auditor) == undisturbed
    assert "is no event of the record" in (await world.store.bus_epoch()).reason
    known = {event.id for event in await world.events()}
    assert {message.headers["ce-id"] for message in world.server.messages} <= known


async def test_of_two_auditors_one_acts_and_the_other_takes_over_in_the_middle(
    make: Any, undisturbed: list[Any]
) -> None:
    world = await make(SERVICES)
    first, second = auditor_of(world, holder="first"), auditor_of(world, holder="second")
    for task_id, body in BODIES.items():
        await submit(world, task_id, body=body)
    await go_on(world, first, 5)
    world.server.wipe()
    while (await world.store.bus_epoch()).state != "rebuilt":
        await first.look()
        await second.look()
    # The first one is gone; its lease lapses.
    world.clock.advance(10)
    assert await finish(world, second) == undisturbed
    assert (await world.store.bus_epoch()).epoch == 2
