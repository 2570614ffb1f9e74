"""What a run of the load test came to: read from what the generator wrote and from the record, and told to people."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from loadtest import occupancy
from loadtest.checker.judge import Breach
from loadtest.checker.record import Record


class RouteFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One route, or the way of events to a client; times in milliseconds."""

    method: str
    name: str
    requests: int
    failures: int
    p50: float
    p95: float
    p99: float


class StageFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one engine; times in seconds."""

    engine: str
    stage: str
    #: From the scheduler's request to the start.
    waited: occupancy.Spread
    #: From the start to the end.
    lasted: occupancy.Spread


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one run."""

    seconds: float
    #: Of the machine, before and after.
    load: tuple[float, float]
    #: Exit status of the generator: 0 without failures.
    generator: int
    routes: tuple[RouteFigure, ...]
    #: (method and name, what was wrong, how often).
    failures: tuple[tuple[str, str, int], ...]
    accepted: int
    #: How the tasks ended.
    ends: dict[str, int]
    stages: tuple[StageFigure, ...]
    limit: int
    #: Tasks that held slots at once: most, and on average while users were there.
    slots: tuple[int, float]
    #: The same for stages.
    runs: tuple[int, float]
    events: int
    breaches: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Tell whether nothing failed, broke a rule or held more slots than there are."""
        answered = bool(self.routes) and not any(route.failures for route in self.routes)
        return (
            answered
            and not (self.generator or self.failures or self.breaches)
            and self.slots[0] <= self.limit
        )


def routes(written: Path) -> tuple[RouteFigure, ...]:
    """Read the generator's figures; none if it wrote none."""
    if not written.exists():
        return ()
    found = []
    for entry in msgspec.json.decode(written.read_bytes()):
        percentiles = [_percentile(entry["response_times"], share) for share in (0.5, 0.95, 0.99)]
        found.append(
            RouteFigure(
                method=entry["method"],
                name=entry["name"],
                requests=entry["num_requests"],
                failures=entry["num_failures"],
                p50=percentiles[0],
                p95=percentiles[1],
                p99=percentiles[2],
            )
        )
    return tuple(sorted(found, key=lambda one: (one.name, one.method)))


def failures(prefix: Path) -> tuple[tuple[str, str, int], ...]:
    """Read what failed, requests and users alike."""
    found: list[tuple[str, str, int]] = []
    for row in _rows(prefix.with_name(f"{prefix.name}_failures.csv")):
        found.append((f"{row['Method']} {row['Name']}", row["Error"], int(row["Occurrences"])))
    for row in _rows(prefix.with_name(f"{prefix.name}_exceptions.csv")):
        found.append(("a user", row["Message"], int(row["Count"])))
    return tuple(found)


def report(
    record: Record, breaches: list[Breach], users: tuple[float, float], limit: int, **said: Any
) -> Report:
    """Put it together; `users` are the times between which users were there."""
    last = {row.data["task_id"]: row.type for row in record.events if row.category == "task"}
    slots, runs = occupancy.slots(record), occupancy.runs(record)
    return Report(
        seconds=users[1] - users[0],
        limit=limit,
        ends=dict(Counter(last.values())),
        stages=tuple(
            StageFigure(engine=engine, stage=stage, waited=waited, lasted=lasted)
            for (engine, stage), (waited, lasted) in occupancy.stages(record).items()
        ),
        slots=(occupancy.peak(slots), occupancy.mean(slots, *users)),
        runs=(occupancy.peak(runs), occupancy.mean(runs, *users)),
        events=len(record.events),
        breaches=tuple(map(str, breaches)),
        **said,
    )


def text(found: Report) -> str:
    """Write it for a terminal."""
    lines = [f"{'route':<52} {'requests':>8} {'failed':>6} {'p50 ms':>8} {'p95':>8} {'p99':>8}"]
    for route in found.routes:
        lines.append(
            f"{route.method + ' ' + route.name:<52} {route.requests:>8} {route.failures:>6}"
            f" {route.p50:>8.0f} {route.p95:>8.0f} {route.p99:>8.0f}"
        )
    lines.append(f"\n{'stage':<24} {'runs':>6}  {'request to start, s':^26}  {'start to end, s':^26}")
    lines.append(f"{'':<31}  {'p50':>8} {'p95':>8} {'p99':>8}  {'p50':>8} {'p95':>8} {'p99':>8}")
    for stage in found.stages:
        shown = "  ".join(
            f"{one.p50:>8.3f} {one.p95:>8.3f} {one.p99:>8.3f}" for one in (stage.waited, stage.lasted)
        )
        lines.append(f"{stage.engine + ' ' + stage.stage:<24} {stage.lasted.count:>6}  {shown}")
    lines += [
        f"\n{found.accepted} tasks accepted in {found.seconds:.0f} s; "
        + ", ".join(f"{count} {name.removeprefix('task_')}" for name, count in sorted(found.ends.items())),
        f"slots held at once: {found.slots[0]} at most of {found.limit}, {found.slots[1]:.1f} on average;"
        f" stages running: {found.runs[0]} and {found.runs[1]:.1f}",
        f"{found.events} events judged, {len(found.breaches)} breaches; load {found.load[0]:.1f} before, {found.load[1]:.1f} after",
    ]
    lines += [f"FAILED {count} times: {name}: {what}" for name, what, count in found.failures]
    lines += [f"BREACH {one}" for one in found.breaches[:20]]
    return "\n".join(lines)


def _percentile(counts: dict[str, int], share: float) -> float:
    """Read a percentile off counts by milliseconds."""
    total, seen = sum(counts.values()), 0
    for milliseconds, count in sorted((float(key), count) for key, count in counts.items()):
        seen += count
        if seen >= share * total:
            return milliseconds
    return 0.0


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
