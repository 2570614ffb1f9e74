"""Results as people read them, and whether they are good enough."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from loadtest.chaos.case import Result
from loadtest.chaos.cases import TIMES

#: Seconds from the kill of a leader to the first new event of every interrupted task: median and worst of ten.
MEDIAN_S, WORST_S = 2.0, 4.0


def late(result: Result) -> bool:
    """Tell whether a bounded recovery took too long, or met nothing to recover. Too few kills tell nothing."""
    seconds = result.recovered_s
    if not result.bounded or len(seconds) < TIMES:
        return False
    return not any(result.interrupted) or statistics.median(seconds) > MEDIAN_S or max(seconds) > WORST_S


def failed(results: Iterable[Result]) -> list[Result]:
    """List the cases that should have passed."""
    return [one for one in results if not one.skipped and (not one.sound or late(one))]


def table(results: Sequence[Result]) -> str:
    """Write the results as Markdown."""
    lines = [
        "| case | verdict | tasks | pull requests | lost | breaches | interrupted | recovered after s: median (max) | case took s | load before |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        seconds = one.recovered_s
        shown = f"{statistics.median(seconds):.2f} ({max(seconds):.2f})" if any(one.interrupted) else "-"
        met = f"{statistics.median(one.interrupted):.0f}" if one.interrupted else "-"
        lines.append(
            f"| {one.case} | {_verdict(one)} | {one.tasks} | {one.pull_requests} | {one.lost} | {one.breaches} | {met} | {shown} |"
            f" {one.seconds:.0f} | {one.load_before:.0f} |"
        )
    for one in results:
        lines += [f"\n{one.case}: {text}" for text in (one.error, *one.examples) if text]
    return "\n".join(lines) + "\n"


def _verdict(result: Result) -> str:
    if result.skipped:
        return f"skipped: {result.skipped}"
    if result.sound and not late(result):
        return "sound"
    return "late" if result.sound else "BROKEN"
