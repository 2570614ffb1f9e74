"""The bus auditor over a world of in-memory twins, its turns taken by hand."""

from __future__ import annotations

import random

from libs.busaudit.auditor import Auditor
from libs.busaudit.keeping import wanted_by
from libs.busaudit.memory import MemoryRecord, MemoryView
from libs.messaging.topology import derive
from libs.testing.world import World


def auditor_of(world: World, *, seed: int = 0, holder: str = "auditor") -> Auditor:
    """Make an auditor of a world's bus; several of different holders compete for the lease."""
    topology = derive([service.declaration for service in world.services.values()])
    return Auditor(
        MemoryView(world.server, topology),
        MemoryRecord(world.store, holder),
        wanted_by(topology, world.registry),
        world.registry,
        world.clock.now,
        random.Random(seed),
    )
