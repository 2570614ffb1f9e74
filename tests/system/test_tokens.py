"""Tokens through the real services: granted per attempt, topped up in flight, settled, waited for, never overspent."""

from __future__ import annotations

from libs.testing.world import World
from tests.system.walking import end, facts_of, sound, submit


async def test_a_stage_spends_within_its_grant_and_the_rest_is_free_again(world: World) -> None:
    await submit(world, "t1", body="spend implement 300 2 250")
    await world.settle()
    events = await sound(world)
    assert end(events) == "task_done"
    (settled,) = facts_of(events, "t1", "grant_settled")
    assert (settled.stage, settled.reserved, settled.spent) == ("implement", 1_000, 500)
