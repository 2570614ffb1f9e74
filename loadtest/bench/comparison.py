"""One thing done in two ways, turn by turn: rates or times, and the processor time beside them.

On a busy machine seconds say what others left over; the processor time of both sides says what the work costs.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import msgspec

from loadtest.bench import usage


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison: medians of the interleaved repeats, and all of them."""

    what: str
    unit: str
    bare: float
    ours: float
    #: Ours to bare, as the target is put: the median of the repeats' ratios.
    ratio: float
    target: str
    met: bool
    repeats: list[tuple[float, float]]
    notes: dict[str, float] = {}


class Spent:
    """What one side has taken so far for its events, over all its turns."""

    def __init__(self, server_pids: Iterable[int]) -> None:
        self.events, self.seconds, self.cpu_s = 0, 0.0, 0.0
        self._pids = tuple(server_pids)

    @contextmanager
    def turn(self, events: int) -> Iterator[None]:
        """Measure one turn of that many events."""
        cpu, began = self._cpu(), time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self.cpu_s += self._cpu() - cpu
        self.events += events

    def _cpu(self) -> float:
        return time.process_time() + usage.cpu_s(self._pids)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time an event: this process and the servers."""
        return 1e6 * self.cpu_s / self.events


def settle() -> None:
    """Begin without garbage, and keep the collector from looking at what was prepared for a measurement."""
    gc.collect()
    gc.freeze()


def at_least(what: str, bound: float, sides: Sequence[tuple[Spent, Spent]], **notes: float) -> Figure:
    """Compare rates, bare and ours, of several repeats."""
    pairs = [(bare.rate, ours.rate) for bare, ours in sides]
    return _figure(what, "events/s", pairs, bound, {**cpu_notes(sides), **notes}, least=True)


def at_most(
    what: str, unit: str, bound: float, pairs: Sequence[tuple[float, float]], **notes: float
) -> Figure:
    """Compare what should be small, bare and ours, of several repeats."""
    return _figure(what, unit, pairs, bound, notes, least=False)


def cpu_notes(sides: Sequence[tuple[Spent, Spent]]) -> dict[str, float]:
    """Tell what both sides cost the processors, and how busy these were."""
    bare, ours = (median(one.cpu_us for one in side) for side in zip(*sides, strict=True))
    return {
        "bare CPU us an event": round(bare, 1),
        "ours CPU us an event": round(ours, 1),
        "CPU ratio": round(bare / ours, 2),
        "load": round(os.getloadavg()[0], 1),
    }


def _figure(
    what: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    bound: float,
    notes: dict[str, float],
    *,
    least: bool,
) -> Figure:
    ratio = median(ours / bare for bare, ours in pairs)
    bare, ours = (median(one) for one in zip(*pairs, strict=True))
    return Figure(
        what=what,
        unit=unit,
        bare=bare,
        ours=ours,
        ratio=ratio,
        target=f"at {'least' if least else 'most'} {bound:g}",
        met=ratio >= bound if least else ratio <= bound,
        repeats=list(pairs),
        notes=notes,
    )
