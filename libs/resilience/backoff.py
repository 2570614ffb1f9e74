"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random


def delays(base_s: float, factor: float, cap_s: float, seed: int | str) -> Iterator[float]:
    """Yield endless delays in seconds: growing by `factor` from `base_s`, never beyond `cap_s`, with jitter.

    Each lies between half of its step and the whole of it, so that those who failed together do not come back
    together. The same seed gives the same delays: pass something of the caller's own, such as a task's id.
    Raises ValueError where the numbers do not grow from above zero.
    """
    if not (0 < base_s <= cap_s and factor >= 1):
        raise ValueError(f"delays need 0 < base_s <= cap_s and factor >= 1, not {base_s}, {cap_s}, {factor}")
    jitter = Random(seed)  # noqa: S311 (spreads load, protects nothing)
    return _steps(base_s, factor, cap_s, jitter)


def _steps(step_s: float, factor: float, cap_s: float, jitter: Random) -> Iterator[float]:
    while True:
        yield step_s * (0.5 + 0.5 * jitter.random())
        step_s = min(step_s * factor, cap_s)
