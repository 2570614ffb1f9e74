"""What can be wished of a task, and what it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec

from contracts.gate import GateDecided
from contracts.message import Event
from contracts.mode import Mode
from contracts.resolution import IncidentFiled, PlanDeltaRecorded, StageRetryAdvised
from contracts.stage import StageCancelled, StageCompleted, StageFailed, TokenGrantExhausted
from contracts.task import BaseRef, OnFailedDependency, Priority, TaskSpec
from services.scheduler.domain.purse import Purse


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """Other tasks are going to change files that this one's plan names."""

    behind: tuple[str, ...]
    #: Some of these files.
    shared: tuple[str, ...]


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What the rest of the system allows while a task decides how it goes on."""

    mode: Mode = "normal"
    overlap: Overlap | None = None
    #: The ledger of tokens; None for a task that spends none.
    purse: Purse | None = None


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """A task comes in."""

    task_id: str
    spec: TaskSpec
    depends_on: tuple[str, ...]
    request_digest: str
    now: datetime
    #: Id of the batch it comes in, if it comes in one.
    batch: str = ""
    on_failed_dependency: OnFailedDependency = "park"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The task got a slot."""

    bases: tuple[BaseRef, ...] = ()
    conditions: Conditions = Conditions()


News: TypeAlias = (
    StageCompleted
    | StageFailed
    | StageCancelled
    | GateDecided
    | PlanDeltaRecorded
    | IncidentFiled
    | StageRetryAdvised
)


class Observe(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened elsewhere that concerns this task."""

    news: News
    now: datetime
    conditions: Conditions = Conditions()


class TopUp(msgspec.Struct, frozen=True, kw_only=True):
    """A run has come to the end of its grant."""

    news: TokenGrantExhausted
    purse: Purse


class ChangeBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changes how many tokens the task may spend in all."""

    tokens: int
    actor: str


class RetryStage(msgspec.Struct, frozen=True, kw_only=True):
    """The wait after a transient failure is over."""

    conditions: Conditions = Conditions()


class LoseDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A task that this one depends on ended without a change."""

    dependency: str
    outcome: str


class Unpark(msgspec.Struct, frozen=True, kw_only=True):
    """What the task waited for is there."""

    reason: str
    #: Tasks whose changes its tree has to contain from now on.
    after: tuple[str, ...] = ()
    #: Codes of the waits that this ends; none means any.
    codes: tuple[str, ...] = ()


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency stop: the running stage is stopped, the task waits for normal operation."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants the task to end."""

    actor: str
    reason: str


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody grants one more allowance to a task that was given up or waits for a person."""

    actor: str
    #: MB that its commands may take from now on; None leaves the ceiling as it is.
    memory_mb: int | None = None


class Prioritise(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants the task to wait in another class."""

    priority: Priority
    actor: str


TaskCommand: TypeAlias = (
    Submit
    | Start
    | Observe
    | TopUp
    | ChangeBudget
    | RetryStage
    | LoseDependency
    | Unpark
    | Halt
    | Cancel
    | Retry
    | Prioritise
)

#: What tasks have decided and what still has to be carried out: task ids with events.
Unsettled: TypeAlias = list[tuple[str, Sequence[Event]]]
