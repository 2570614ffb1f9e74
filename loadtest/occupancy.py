"""What a record says about how many tasks and stages were under way at once, and how fast freed slots were used again.

Times are those of the events: when their writer recorded them.
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

import msgspec

from loadtest.checker.once import RUN_ENDS
from loadtest.checker.record import Record


class Span(msgspec.Struct, frozen=True):
    """Something that was under way for a while; times in seconds since the epoch."""

    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.begin


class Spread(msgspec.Struct, frozen=True):
    """How a number of durations are spread, in seconds."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


def spread(seconds: Iterable[float]) -> Spread:
    """Describe durations; of none, all is zero."""
    known = sorted(seconds)
    if len(known) < 2:
        only = known[0] if known else 0.0
        return Spread(len(known), only, only, only, only)
    cuts = statistics.quantiles(known, n=100, method="inclusive")
    return Spread(len(known), cuts[49], cuts[94], cuts[98], known[-1])


def slots(record: Record) -> list[Span]:
    """List for how long tasks held slots that they have given back, in order of their ends."""
    begun: dict[str, float] = {}
    found = []
    for row in record.of("slot_granted", "slot_released"):
        task, at = row.data["task_id"], row.recorded_at.timestamp()
        if row.type == "slot_granted":
            begun[task] = at
        elif task in begun:
            found.append(Span(task, begun.pop(task), at))
    return found


def runs(record: Record) -> list[Span]:
    """List for how long stages ran that have ended, by task, in order of their ends."""
    begun: dict[str, float] = {}
    found = []
    for row in record.of("stage_started", *RUN_ENDS):
        run, at = row.data["run_id"], row.recorded_at.timestamp()
        if row.type == "stage_started":
            begun[run] = at
        elif run in begun:
            found.append(Span(row.data["task_id"], begun.pop(run), at))
    return found


def peak(spans: Sequence[Span]) -> int:
    """Say how many were under way at once at most; where one ends as another begins they were not both."""
    moves = sorted([(span.begin, 1) for span in spans] + [(span.end, -1) for span in spans])
    highest = now = 0
    for _, move in moves:
        now += move
        highest = max(highest, now)
    return highest


def mean(spans: Sequence[Span], begin: float, end: float) -> float:
    """Say how many were under way on average between two times."""
    inside = (min(span.end, end) - max(span.begin, begin) for span in spans)
    return sum(max(0.0, seconds) for seconds in inside) / (end - begin)


def delays(record: Record) -> list[float]:
    """List the seconds from a slot becoming free to the first stage of the task that got it, where tasks wait for slots alone.

    In the order in which those stages started. Slots are alike: whoever is granted one gets the one that was free longest.
    Its wait for work is none: it counts from the release, or from when the task was queued if that came later.
    """
    free: deque[float] = deque()
    queued: dict[str, float] = {}
    since: dict[str, float] = {}
    found = []
    for row in record.of("slot_released", "task_enqueued", "slot_granted", "stage_started"):
        task, at = row.data["task_id"], row.recorded_at.timestamp()
        match row.type:
            case "slot_released":
                free.append(at)
            case "task_enqueued":
                queued[task] = at
            case "slot_granted":
                if free:
                    since[task] = max(free.popleft(), queued.get(task, 0.0))
            case _:
                if task in since:
                    found.append(at - since.pop(task))
    return found


def steps(record: Record) -> list[float]:
    """List the seconds from a stage's end to the start of the same task's next one: what the system itself takes."""
    ended: dict[str, float] = {}
    found = []
    for row in record.of("stage_started", *RUN_ENDS):
        task, at = row.data["task_id"], row.recorded_at.timestamp()
        if row.type != "stage_started":
            ended[task] = at
        elif task in ended:
            found.append(at - ended.pop(task))
    return found


def stages(record: Record) -> dict[tuple[str, str], tuple[Spread, Spread]]:
    """Describe every stage by (engine, stage): from the request to the start, and from the start to the end."""
    engines = {row.data["task_id"]: row.data["spec"]["engine"] for row in record.of("task_submitted")}
    asked: dict[str, float] = {}
    begun: dict[str, float] = {}
    waited: dict[tuple[str, str], list[float]] = defaultdict(list)
    lasted: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in record.of("stage_requested", "workspace_requested", "stage_started", *RUN_ENDS):
        run, at = row.data["run_id"], row.recorded_at.timestamp()
        if row.type in ("stage_requested", "workspace_requested"):
            asked[run] = at
            continue
        key = (engines.get(row.data["task_id"], ""), row.data["stage"])
        if row.type == "stage_started":
            begun[run] = at
            if run in asked:
                waited[key].append(at - asked[run])
        elif run in begun:
            lasted[key].append(at - begun.pop(run))
    return {key: (spread(waited[key]), spread(lasted[key])) for key in sorted(lasted)}
