"""When a crashed child comes back, and when it is given up."""

from __future__ import annotations

from autopilot.stack.restart import RestartPolicy, Restarts

PATIENT = RestartPolicy(crashes=100)


def test_each_crash_doubles_the_delay_up_to_its_ceiling() -> None:
    restarts = Restarts(PATIENT)
    delays = [restarts.after_crash(now, None) for now in range(10)]
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_ten_healthy_seconds_forget_the_earlier_delays() -> None:
    restarts = Restarts(PATIENT)
    for now in range(5):
        restarts.after_crash(now, None)
    assert restarts.after_crash(100.0, ready_since=90.0) == 0.05


def test_a_short_healthy_time_forgets_nothing() -> None:
    restarts = Restarts(PATIENT)
    restarts.after_crash(0.0, None)
    assert restarts.after_crash(30.0, ready_since=20.5) == 0.1


def test_six_crashes_within_a_minute_give_up() -> None:
    restarts = Restarts(RestartPolicy())
    assert [restarts.after_crash(now, None) is None for now in range(6)] == [False] * 5 + [True]


def test_crashes_far_apart_never_give_up() -> None:
    restarts = Restarts(RestartPolicy())
    assert all(restarts.after_crash(now * 13.0, None) is not None for now in range(50))


def test_what_was_ready_once_is_never_given_up() -> None:
    restarts = Restarts(RestartPolicy())
    restarts.after_crash(0.0, ready_since=-1.0)
    delays = [restarts.after_crash(now / 10, None) for now in range(1, 20)]
    assert None not in delays
    assert delays[-1] == 10.0
