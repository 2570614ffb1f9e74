"""One seed, run and judged."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from libs.eventstore.store import StoreUnavailableError
from libs.forge.error import ForgeUnavailableError
from libs.testing.virtualtime import VirtualLoop
from tests.simulation.faults import Faults, draw
from tests.simulation.judge import judge, sound_so_far
from tests.simulation.viewer import Viewer
from tests.simulation.workload import Workload
from tests.simulation.world import World

#: Callbacks of a run after which it counts as one that goes in circles; a long one has 50,000.
MOST_STEPS = 200_000


class Scene(NamedTuple):
    """What a run leaves to look at."""

    world: World
    people: Workload
    viewer: Viewer


@dataclass
class Result:
    """What became of a seed."""

    seed: int
    faults: Faults
    #: Empty if all was well.
    breaches: list[str]
    digest: str
    events: int
    crashes: int
    virtual_s: float
    wall_s: float
    lines: list[str] = field(repr=False)
    #: None when it came from another process.
    scene: Scene | None = field(repr=False)


def run(seed: int, *, without: tuple[str, ...] = ()) -> Result:
    """Run a seed from its beginning to its rest."""
    began = time.perf_counter()
    dice = random.Random(f"plan {seed}")
    faults = draw(dice).without(*without)
    seconds = dice.choice((4.0, 10.0, 20.0))
    # How many messages are decided on in one append is chance, too.
    batch = dice.choice((1, 2, 4, 4, 8, 64))
    loop = VirtualLoop(MOST_STEPS)
    # Nothing is written there; what is looked for is not found.
    world = World(loop, seed, faults, str(Path(tempfile.gettempdir()) / "autopilot-simulation"), batch)
    _listen(world)
    loop.on_error = partial(_uncaught, world)
    breaches: list[str] = []
    people, viewer = Workload(world, random.Random(f"people {seed}"), seed), Viewer(world)
    world.on_crash = lambda: breaches.extend(sound_so_far(world))

    async def main() -> None:
        watching = loop.create_task(viewer.watch())
        try:
            rested = await world.live(seconds, people.run(seconds))
            await viewer.catch_up()
        except TimeoutError:
            rested = False
        watching.cancel()
        breaches.extend(await judge(world, people, viewer, rested))
        await world.end()

    # What is collected when is no part of a run.
    gc.disable()
    try:
        loop.run(main())
    except RuntimeError as error:
        breaches.append(str(error))
    finally:
        gc.enable()
    found = list(dict.fromkeys([*breaches, *world.complaints]))
    for breach in found:
        world.trace.tell("BREACH", breach)
    return Result(
        seed=seed,
        faults=faults,
        breaches=found,
        digest=world.trace.digest,
        events=len(world.store._rows),
        crashes=world.crashes,
        virtual_s=loop.time(),
        wall_s=time.perf_counter() - began,
        lines=world.trace.lines,
        scene=Scene(world, people, viewer),
    )


def _uncaught(world: World, context: dict[str, Any]) -> None:
    """Take note of an error that was raised where nobody waits; a process that is killed leaves cancellations behind."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        world.complain(f"nobody caught: {context['message']} {context.get('exception')!r}")


def _listen(world: World) -> None:
    """Hear of every error that the product logs as one, and of nothing else."""

    def hear(_: Any, method: str, event: dict[str, Any]) -> Any:
        error = sys.exc_info()[1]
        # A stage that met an outage of the record, or of the forge in the middle of cleaning up, says so and is run again.
        # What the auditor finds is judged at the end: whether something was lost, and whether somebody was told.
        outage = isinstance(error, (StoreUnavailableError, ForgeUnavailableError))
        expected = outage or event.get("event") == "bus_epoch_raised"
        if method in ("error", "exception", "critical") and not expected:
            world.complain(f"logged: {event.get('event')} {error or event!r}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
