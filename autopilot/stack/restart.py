"""Decides when a crashed child is started again, and when it is given up. Pure: time is an argument."""

from __future__ import annotations

import msgspec


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patiently a child is started again. All times in seconds."""

    first_s: float = 0.05
    max_s: float = 10.0
    #: After this long in readiness the next delay is the first one again.
    healthy_s: float = 10.0
    #: This many crashes within the window give a child up that was never ready.
    crashes: int = 6
    window_s: float = 60.0


class Restarts:
    """The crashes of one child and what follows from them.

    What was ready once is never given up: it can run, so the cause is around it and may pass. A full disk ended Postgres
    six times in three seconds, and it stayed down when there was room again.
    """

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._crashes: list[float] = []
        self._next_s = policy.first_s
        self._was_ready = False

    def after_crash(self, now: float, ready_since: float | None) -> float | None:
        """Tell the delay before the next start; None gives the child up. Both times from one monotonic clock."""
        policy = self._policy
        self._was_ready = self._was_ready or ready_since is not None
        if ready_since is not None and now - ready_since >= policy.healthy_s:
            self._next_s = policy.first_s
        self._crashes = [at for at in self._crashes if now - at < policy.window_s]
        self._crashes.append(now)
        if len(self._crashes) >= policy.crashes and not self._was_ready:
            return None
        delay, self._next_s = self._next_s, min(self._next_s * 2, policy.max_s)
        return delay
