"""What is looked ahead is computed once for all who ask within a second, and for no longer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from libs.runtime.running import Running
from libs.testing.clock import ManualClock
from services.scheduler.api.outlook import Outlook
from tests.unit.scheduler.test_waits import enqueue, pool_of


@pytest.mark.parametrize("later_s", [1.0, 5.0, -0.1, -3600.0], ids=str)
def test_an_answer_is_good_for_a_second_of_a_clock_that_may_be_set_back(later_s: float) -> None:
    clock = ManualClock()
    outlook = Outlook(cast(Running, SimpleNamespace(clock=clock)))
    one, more = pool_of(enqueue("t1")), pool_of(enqueue("t1"), enqueue("t2"))
    assert outlook.order(one) == ("t1",)
    assert outlook.order(more) == ("t1",), "it was asked for just now"
    clock.advance(later_s)
    assert outlook.order(more) == ("t1", "t2")
