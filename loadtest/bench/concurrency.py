"""Tasks that wait as a real one does, one at a time, ten and a hundred at once: does more at once mean as much faster?

Stage times come from one committed profile, a real task's, scaled to about 4 s a task. Its stages wait instead of using the
processor, so what is left of the machine is what the system itself takes. Where a hundred run at once, tasks are longer and
shorter by up to half: they would go in step otherwise, and each would find all others at the same turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from autopilot.cli.client import Client
from autopilot.cli.sending import send
from contracts.task import RepoSpec, TaskSpec
from loadtest import occupancy
from loadtest.bench import usage
from loadtest.ownstack import own_stack
from loadtest.witness import NEWEST, SINCE, Witness, pause_s

PROFILE = Path(__file__).with_name("profile.json")
#: (slots, tasks, share by which tasks are longer or shorter at most) of each round, in this order.
ROUNDS = ((1, 20, 0.0), (10, 40, 0.0), (100, 1_000, 0.5))
#: Tasks of one submission; seconds for a round beyond what its waiting takes.
BATCH, PATIENCE_S = 100, 300.0
#: Multiples of it, without their whole parts, are spread evenly over any stretch.
GOLDEN = 0.618033988749895
#: Before the first round: connections, prepared statements and caches are there afterwards.
WARM_UP = 20
#: At least so many times as fast as one at a time, by slots; p95 of the delay at most so many times as long, both towards
#: the end of the run and beside one at a time.
FASTER = {10: 9.0, 100: 80.0}
SLOWER = 1.2
_TYPES = ("task_enqueued", "slot_granted", "slot_released", "stage_started", "stage_completed", "task_done")


class Profile(msgspec.Struct, frozen=True):
    """Where the stages' times come from."""

    what: str
    scaled_to_s: float
    measured_s: dict[str, float]

    @property
    def waits(self) -> dict[str, float]:
        """Seconds that each stage waits."""
        scale = self.scaled_to_s / sum(self.measured_s.values())
        return {stage: seconds * scale for stage, seconds in self.measured_s.items()}


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One measured run."""

    slots: int
    tasks: int
    #: From the first grant to the last end.
    seconds: float
    #: Seconds a task: all of them for few slots; for many those between the end of the first wave and that of the last but one.
    per_task_s: float
    #: From a free slot to the first stage of who gets it; the same of the first and of the second half of them.
    delay: occupancy.Spread
    delay_halves: tuple[occupancy.Spread, occupancy.Spread]
    #: From a stage's end to the start of the same task's next one.
    step: occupancy.Spread
    #: Tasks that held slots at once at most; stages that ran at once on average.
    peak: int
    running: float
    #: Processor time in ms a task, by process, and the share of the machine's processors that all had together.
    cpu_ms: dict[str, float]
    cpu_share: float
    #: Of the machine when it ended.
    load: float


def measure() -> list[Round]:
    """Run all rounds on a stack of their own."""
    with _stack() as (client, witness):
        _round(client, witness, 10, WARM_UP, 0.0)
        return [_round(client, witness, *one) for one in ROUNDS]


def profile() -> Profile:
    """Read the committed profile."""
    return msgspec.json.decode(PROFILE.read_bytes(), type=Profile)


def spec(waits: dict[str, float], place: int, share: float) -> TaskSpec:
    """Write a task that waits like the profile, longer or shorter by its place: any row of tasks has the profile's mean, nearly."""
    factor = 1 + share * (2 * (place * GOLDEN % 1) - 1)
    return TaskSpec(
        title=f"waits as a real one works, {factor:.2f} times",
        body="\n".join(f"work {stage} {factor * seconds:.4f}" for stage, seconds in waits.items()),
        repos=(RepoSpec(name="none", url="/nowhere/none.git"),),
        engine="noop",
        synthetic=True,
    )


@contextmanager
def _stack() -> Iterator[tuple[Client, Witness]]:
    with own_stack() as config:
        witness = Witness(config)
        try:
            yield Client(config), witness
        finally:
            witness.close()


def _round(client: Client, witness: Witness, slots: int, count: int, share: float) -> Round:
    waits = profile().waits
    client.scheduler("PUT", "/v1/config", json={"max_concurrent": slots})
    first = witness.ask("select coalesce(max(position), 0) from events")[0][0]
    newest = witness.ask(NEWEST)[0][0]
    cpu, began = _cpu(client), time.perf_counter()
    for start in range(0, count, BATCH):
        send(client, [spec(waits, place, share) for place in range(start, min(start + BATCH, count))])
    deadline = time.monotonic() + PATIENCE_S + sum(waits.values()) * count / slots
    while left := witness.ask(SINCE, newest)[0][0]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} of {count} tasks have not ended")
        time.sleep(pause_s(left))
    passed = time.perf_counter() - began
    spent = {name: seconds - cpu[name] for name, seconds in _cpu(client).items()}
    record = witness.events(first, _TYPES)
    if (done := len(record.of("task_done"))) < count:
        raise RuntimeError(f"{count - done} of {count} tasks have not ended well")
    held, runs = occupancy.slots(record), occupancy.runs(record)
    delays = occupancy.delays(record)
    half = len(delays) // 2
    begin, ends = min(span.begin for span in held), [span.end for span in held]
    return Round(
        slots=slots,
        tasks=count,
        seconds=ends[-1] - begin,
        per_task_s=_per_task_s(begin, ends, slots),
        delay=occupancy.spread(delays),
        delay_halves=(occupancy.spread(delays[:half]), occupancy.spread(delays[half:])),
        step=occupancy.spread(occupancy.steps(record)),
        peak=occupancy.peak(held),
        running=occupancy.mean(runs, begin, ends[-1]),
        cpu_ms={name: round(1_000 * seconds / count, 1) for name, seconds in spent.items()},
        cpu_share=sum(spent.values()) / passed / (os.cpu_count() or 1),
        load=round(os.getloadavg()[0], 1),
    )


def _cpu(client: Client) -> dict[str, float]:
    """Tell the seconds of processor time that each part has used so far."""
    parts = client.status.processes.items()
    found = {name: usage.cpu_s([one.pid]) for name, one in parts if one.pid is not None}
    # Its children are counted above.
    return {**found, "supervisor": usage.own_cpu_s(client.status.pid)}


def _per_task_s(begin: float, ends: list[float], slots: int) -> float:
    """Say what a task takes of the whole; of many waves without the first and the last."""
    if len(ends) < 5 * slots or slots == 1:
        return (ends[-1] - begin) / len(ends)
    return (ends[-slots - 1] - ends[slots - 1]) / (len(ends) - 2 * slots)


def targets(rounds: list[Round]) -> list[dict[str, object]]:
    """Compare with what is aimed for."""
    (alone,) = (one for one in rounds if one.slots == 1)
    found: list[dict[str, object]] = []
    for one in rounds:
        if bound := FASTER.get(one.slots):
            faster = alone.per_task_s / one.per_task_s
            found.append(
                {
                    "what": f"{one.slots} at once, times as fast",
                    "value": faster,
                    "at least": bound,
                    "met": faster >= bound,
                }
            )
    most = max(rounds, key=lambda one: one.slots)
    first, second = most.delay_halves
    for what, slower in (
        ("p95 of the scheduling delay, times that of the first half", second.p95 / first.p95),
        ("p95 of the scheduling delay, times that of one at a time", most.delay.p95 / alone.delay.p95),
    ):
        found.append({"what": what, "value": slower, "at most": SLOWER, "met": slower <= SLOWER})
    return found
