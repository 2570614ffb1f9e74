"""Stream `review`: one question to one gate and its answer, written by the gate service."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from contracts.message import Event
from contracts.receipt import Problem

Verdict: TypeAlias = Literal["approve", "reject", "abstain", "error"]


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One voter's judgement."""

    voter: str
    verdict: Verdict
    #: The fact it rests on; why it abstains or failed.
    reason: str
    score: int | None = None


class Consensus(msgspec.Struct, frozen=True, kw_only=True):
    """What the votes amount to; computed from them and stored with them."""

    rule: str
    cast: int
    needed: int
    reached: bool


class GateDecided(Event, frozen=True, kw_only=True):
    """A gate judged. Anything but `approve` stops the change; `abstain` means that no quorum was reached."""

    stream: ClassVar[str] = "review"
    key: ClassVar[str] = "review_id"
    ends: ClassVar[bool] = True
    review_id: str
    task_id: str
    gate: int
    round: int
    verdict: Verdict
    findings: tuple[Problem, ...] = ()
    votes: tuple[Vote, ...] = ()
    consensus: Consensus | None = None
    #: Tree hashes of what was judged, by repository; empty for gate 0.
    trees: dict[str, str] = msgspec.field(default_factory=dict)


GateEvent: TypeAlias = GateDecided
