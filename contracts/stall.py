"""Stream `stall`: tasks are ready and places are free, and yet nothing starts; written by the scheduler's leader."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from contracts.message import Event


class _Stall(Event, frozen=True, kw_only=True):
    stream: ClassVar[str] = "stall"
    key: ClassVar[str] = "pool"
    pool: str = "main"


class AdmissionStalled(_Stall, frozen=True, kw_only=True):
    """No slot has been granted for a while although tasks are ready and slots are free."""

    #: Seconds for which it has been so.
    lasting_s: float
    ready: int
    running: int
    #: Slots that there are.
    limit: int
    #: What holds admission back, as far as it is known.
    reason: str


class AdmissionFlows(_Stall, frozen=True, kw_only=True):
    """Slots are granted again, or nobody is ready for one any more."""


StallEvent: TypeAlias = AdmissionStalled | AdmissionFlows
