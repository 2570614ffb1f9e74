"""Section `scheduler`: what deciding costs as the queue grows, how fast tasks get in, and how a long queue is taken over.

One function for each part; each returns its figures beside their targets.
"""

from __future__ import annotations

import asyncpg
import msgspec

from autopilot import wiring
from loadtest.bench import admitting, deciding, recovering
from loadtest.bench.servers import Servers, servers
from services.scheduler.app import service

#: Tasks of a round; two rounds of them fit into the slots.
TASKS = 500


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Tell whether it reaches its target; one without a target always does."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def __str__(self) -> str:
        bound = f"at least {self.at_least:,}" if self.at_least is not None else ""
        bound = f"at most {self.at_most:,}" if self.at_most is not None else bound
        word = f" ({bound}: {'met' if self.met else 'NOT met'})" if bound else ""
        return f"{self.what}: {self.value:,.2f} {self.unit}{word}"


async def decisions() -> list[Line]:
    """Measure the cost of an event, decision and fold, by the length of the queue."""
    costs = await deciding.measure()
    shortest, longest = costs[deciding.QUEUED[0]], costs[deciding.QUEUED[-1]]
    return [
        *(
            Line(what=f"an event with {queued:,} queued", value=cost, unit="µs")
            for queued, cost in costs.items()
        ),
        Line(what="longest queue to shortest", value=longest / shortest, unit="times", at_most=1.2),
    ]


async def admissions(found: Servers) -> list[Line]:
    """Measure how fast tasks get from their submission to their first stage. Raises RuntimeError if one got none."""
    dsn = found.service_dsns[service.name]
    async with admitting.leading(dsn) as running:
        one = await admitting.rate(running, TASKS, 1)
        many = await admitting.rate(running, TASKS, 20)
    record = await asyncpg.connect(found.dsn)
    requested = await record.fetchval("select count(*) from events where type = 'stage_requested'")
    await record.close()
    if requested != 2 * TASKS:
        raise RuntimeError(f"of {2 * TASKS} tasks {requested} had their first stage requested")
    return [
        Line(what="admissions, one task in a request", value=one, unit="tasks/s"),
        Line(what="admissions, 20 tasks in a request", value=many, unit="tasks/s", at_least=500),
    ]


async def recoveries(found: Servers) -> list[Line]:
    """Measure how long a new process takes to know a long queue, and what it takes of memory with it."""
    dsn = found.service_dsns[service.name]
    async with admitting.leading(dsn) as running:
        await recovering.fill(running)
        replayed = await recovering.recovery(dsn)
    async with admitting.leading(dsn) as running:
        kept = await recovering.keep(running)
    snapshot = await recovering.recovery(dsn)
    for one in (replayed, snapshot):
        if one.queued != recovering.QUEUED:
            raise RuntimeError(f"{one.queued} tasks wait, not {recovering.QUEUED}")
    return [
        Line(what="100,000 queued, by replay", value=replayed.seconds, unit="s", at_most=10),
        Line(what="100,000 queued, by snapshot", value=snapshot.seconds, unit="s", at_most=10),
        Line(what="keeping that snapshot", value=kept, unit="s"),
        Line(what="memory then", value=max(replayed.pss_mib, snapshot.pss_mib), unit="MiB", at_most=250),
    ]


async def measure() -> list[Line]:
    """Measure all parts; those that need servers have them to themselves."""
    figures = _shown(await decisions())
    async with servers() as found:
        await wiring.migrate(found.dsn)
        figures += _shown(await admissions(found))
        figures += _shown(await recoveries(found))
    return figures


def _shown(figures: list[Line]) -> list[Line]:
    for figure in figures:
        print(figure, flush=True)
    return figures
