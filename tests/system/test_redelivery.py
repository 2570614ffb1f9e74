"""Whatever the bus does to messages, tasks come out as if it had done nothing."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.message import category_of
from libs.testing.world import World
from tests.system.faults import Unreliable, story
from tests.system.walking import SERVICES, sound, submit, wait_out

BODIES = {"t1": "fail verify 1", "t2": "fail verify 9", "t3": ""}
#: Streams that hold what became of tasks.
OUTCOME = {"task", "run", "review", "loop", "incident", "admission"}


async def played(world: World) -> list[Any]:
    """Let three tasks run to their ends."""
    for task_id, body in BODIES.items():
        await submit(world, task_id, body=body)
    await world.settle()
    for _ in range(4):
        await wait_out(world)
    return await sound(world)


@pytest.fixture
async def undisturbed(make: Any) -> list[Any]:
    """The same tasks without any fault."""
    return story(await played(await make()))


async def test_every_message_delivered_again_long_after_changes_nothing(make: Any) -> None:
    world = await make(SERVICES)
    before = await played(world)
    messages = list(world.server.messages)
    world.clock.advance(10_000)  # longer than the bus itself remembers what it has seen
    for message in reversed(messages):
        world.server.inject(message.subject, message.headers, message.payload)
    await world.settle()
    after = await sound(world)
    assert [event.id for event in after if category_of(event.stream) in OUTCOME] == [
        event.id for event in before if category_of(event.stream) in OUTCOME
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_a_bus_that_repeats_reorders_and_forgets_changes_no_outcome(
    make: Any, undisturbed: list[Any], seed: int
) -> None:
    world = await make()
    Unreliable(world.server, seed)
    assert story(await played(world)) == undisturbed


async def test_what_the_bus_lost_comes_with_the_next_event_of_its_stream(
    make: Any, undisturbed: list[Any]
) -> None:
    world = await make()
    store, lost = world.server.store, list[str]()

    def drops(message: Any) -> None:
        # Gates 1, 2 and 3 are asked in one go: the first two questions never arrive.
        if message.subject.endswith(".gate_requested") and (
            b'"gate":1,' in message.payload or b'"gate":2,' in message.payload
        ):
            lost.append(message.subject)
        else:
            store(message)

    world.server.store = drops
    assert story(await played(world)) == undisturbed
    assert lost


async def test_a_bus_that_is_away_for_a_while_delays_and_loses_nothing(
    make: Any, undisturbed: list[Any]
) -> None:
    world = await make()
    for task_id, body in BODIES.items():
        await submit(world, task_id, body=body)
    for _ in range(8):
        world.server.available = False
        world.server.wake()
        for _ in range(3):
            await world.step()
        world.server.available = True
        world.server.wake()
        world.clock.advance(3)
        for _ in range(3):
            await world.step()
    for _ in range(6):
        await wait_out(world)
    assert story(await sound(world)) == undisturbed
