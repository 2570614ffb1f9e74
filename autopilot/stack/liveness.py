"""Decides when a child that runs and does not answer is taken for hung. Pure: time is an argument."""

from __future__ import annotations

from typing import Literal

import msgspec

#: `hung` is said once: the child is to be ended. `stuck`: it is hung, and was ended too often to try that again now.
Verdict = Literal["fine", "silent", "hung", "stuck"]


class LivenessPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patiently a silent child is waited for. All times in seconds."""

    #: From one question to the next, and what each answer may take; zero asks never.
    every_s: float = 5.0
    #: This many questions in a row without an answer: hung.
    misses: int = 6
    #: As many before its first answer: loading takes its time on a busy machine.
    first_misses: int = 24
    #: It is ended so often within the window, then left to people.
    ends: int = 3
    window_s: float = 900.0

    @classmethod
    def within(cls, seconds: float) -> LivenessPolicy:
        """Take a child for hung after this many seconds of silence; zero: never."""
        return cls(every_s=seconds / cls().misses)


class Liveness:
    """The silence of one child, its restarts included."""

    def __init__(self, policy: LivenessPolicy) -> None:
        self.policy = policy
        self._misses = 0
        self._answered = False
        self._ends: list[float] = []

    @property
    def silence(self) -> str:
        """Say in words for how long it has been silent."""
        return f"has not answered for {self._misses * self.policy.every_s:g} s"

    def started(self) -> None:
        """Forget the process before."""
        self._misses, self._answered = 0, False

    def answered(self) -> None:
        """Take an answer of any kind."""
        self._misses, self._answered = 0, True

    def heard(self, answered: bool, asked_at: float, now: float) -> Verdict:
        """Take the outcome of one question, a period after it was asked. Both times from one monotonic clock.

        A period that was half as long again as it should have been says nothing about the child: this process, and most
        likely the whole machine, did not get to run. Then the count begins anew.
        """
        policy = self.policy
        if answered:
            self.answered()
            return "fine"
        self._misses = 0 if now - asked_at > 1.5 * policy.every_s else self._misses + 1
        if self._misses < (policy.misses if self._answered else policy.first_misses):
            return "silent" if self._misses else "fine"
        self._ends = [at for at in self._ends if now - at < policy.window_s]
        if len(self._ends) >= policy.ends:
            return "stuck"
        self._ends.append(now)
        return "hung"
