from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.resilience.backoff import delays


@given(
    st.floats(0.001, 10),
    st.floats(1, 4),
    st.floats(1, 100),
    st.integers(),
    st.integers(min_value=1, max_value=40),
)
def test_delays_grow_to_the_cap_within_their_jitter(
    base: float, factor: float, over: float, seed: int, count: int
) -> None:
    cap = base * over
    step = base
    for delay in islice(delays(base, factor, cap, seed), count):
        assert step / 2 <= delay <= step
        step = min(step * factor, cap)


def test_a_seed_gives_the_same_delays_and_another_seed_others() -> None:
    def first(seed: str) -> list[float]:
        return list(islice(delays(0.1, 2, 5, seed), 10))

    assert first("task-1") == first("task-1")
    assert first("task-1") != first("task-2")


@pytest.mark.parametrize(("base", "factor", "cap"), [(0, 2, 5), (6, 2, 5), (1, 0.5, 5)])
def test_delays_that_do_not_grow_are_refused(base: float, factor: float, cap: float) -> None:
    with pytest.raises(ValueError, match="delays need"):
        delays(base, factor, cap, 1)
