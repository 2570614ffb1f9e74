"""One run: claimed once, gone on with after a crash, ended once; with the ledger of its effects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, assert_never

import msgspec

from contracts.receipt import EvidenceRef
from contracts.stage import (
    CallReserved,
    CallSettled,
    EffectIntended,
    EffectKind,
    EffectSettled,
    ResourceExceeded,
    StageCancelled,
    StageCompleted,
    StageEvent,
    StageFailed,
    StageOutput,
    StageResumed,
    StageStarted,
    TokenGrantExhausted,
    WallLimitNear,
)
from contracts.task import Activity, Failure, RunRequest, StageCancelRequested
from libs.eventsourcing.decider import Decider

#: Deaths of its holder that a run survives; one that kills its runner would otherwise take the service down.
MAX_RESUMPTIONS = 4


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Names a run."""

    run_id: str
    task_id: str
    stage: Activity
    attempt: int


def which_of(request: RunRequest | StageCancelRequested) -> Which:
    """Name the run that a request is about."""
    return Which(run_id=request.run_id, task_id=request.task_id, stage=request.stage, attempt=request.attempt)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A replica wants to work on a run."""

    which: Which
    replica: str
    epoch: int


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """A replica goes on with a run whose holder is gone."""

    #: The holder that was seen to be gone, and its epoch: whoever has taken the run over since then keeps it.
    gone: tuple[str, int]
    replica: str
    epoch: int
    reason: str


class Intend(msgspec.Struct, frozen=True, kw_only=True):
    """Something is about to be done to the outside."""

    effect: str
    kind: EffectKind
    target: str
    detail: str


class SettleEffect(msgspec.Struct, frozen=True, kw_only=True):
    """It is known what became of an effect."""

    effect: str
    outcome: Literal["done", "adopted", "refused", "reverted"]
    reference: str


class Exceeded(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that was reached; see `ResourceExceeded`."""

    resource: Literal["memory", "wall", "processes", "output"]
    setting: str = ""
    limit: float
    peak: float
    command: str = ""


class Warn(msgspec.Struct, frozen=True, kw_only=True):
    """The run has used most of its time."""

    setting: str
    limit_s: float
    elapsed_s: float


class ReserveCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a language model is about to be made, within what is left of the run's grant."""

    call: str
    provider: str
    #: What it may take at most.
    tokens: int
    #: The grant, with all that is known to have been added to it.
    granted: int
    #: Answers that are known to the run's requests for more.
    answered: int = 0


class SettleCall(msgspec.Struct, frozen=True, kw_only=True):
    """It is known what a call took."""

    call: str
    tokens: int
    reference: str = ""


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """The stage did its work."""

    output: StageOutput
    evidence: tuple[EvidenceRef, ...]
    duration_s: float
    exceeded: tuple[Exceeded, ...] = ()


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The stage could not do its work."""

    failure: Failure
    output: StageOutput
    evidence: tuple[EvidenceRef, ...]
    duration_s: float
    exceeded: tuple[Exceeded, ...] = ()


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """The stage shall be stopped, or has been."""

    which: Which
    reason: str
    #: Whether its processes are known to be gone.
    gone: bool


RunCommand: TypeAlias = (
    Claim | Resume | Warn | Intend | SettleEffect | ReserveCall | SettleCall | Complete | Fail | Stop
)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its own events tell it."""

    which: Which | None = None
    replica: str = ""
    epoch: int = 0
    ended: bool = False
    #: How often it was gone on with after its holder had died.
    resumptions: int = 0
    #: Effects whose outcome is not known, by key.
    intended: dict[str, EffectIntended] = msgspec.field(default_factory=dict)
    settled: dict[str, str] = msgspec.field(default_factory=dict)
    #: Whether it was told of that most of its time is used.
    warned: bool = False
    #: Calls whose outcome is not known, with what is reserved for them.
    calling: dict[str, int] = msgspec.field(default_factory=dict)
    #: Calls whose outcome is known, with the digest of the stored answer.
    answers: dict[str, str] = msgspec.field(default_factory=dict)
    #: What the settled calls took, and what was reserved for those whose outcome nobody will ever know.
    spent: int = 0
    #: Requests for more tokens.
    exhausted: int = 0

    @property
    def tokens_spent(self) -> int:
        """Return what counts as spent: a call whose outcome is not known counts as what was reserved for it."""
        return self.spent + sum(self.calling.values())

    @property
    def live(self) -> bool:
        """Tell whether it was claimed and has not ended."""
        return self.which is not None and not self.ended


def decide(command: RunCommand, state: Run) -> Iterator[StageEvent]:
    """Decide on a run; a second claim, and anything after its end, is silence."""
    if state.ended:
        return
    match command:
        case Claim(which=which, replica=replica, epoch=epoch):
            if state.which is None:
                yield StageStarted(**_names(which), replica=replica, epoch=epoch)
        case Stop(which=which, reason=reason, gone=gone):
            # A run that nobody has claimed has no process; the request that is still on its way will find it ended.
            if gone or state.which is None:
                yield StageCancelled(**_names(which), reason=reason, tokens_spent=state.tokens_spent)
        case _ if state.which is None:
            return
        case Resume(gone=gone, replica=replica, epoch=epoch, reason=reason):
            if gone != (state.replica, state.epoch) or gone == (replica, epoch):
                return
            if state.resumptions >= MAX_RESUMPTIONS:
                yield StageFailed(
                    **_names(state.which),
                    failure=_kills_its_runner(state),
                    duration_s=0.0,
                    tokens_spent=state.tokens_spent,
                )
            else:
                yield StageResumed(**_names(state.which), replica=replica, epoch=epoch, reason=reason)
        case Intend(effect=effect):
            if effect not in state.intended and effect not in state.settled:
                yield EffectIntended(
                    **_names(state.which),
                    effect=effect,
                    kind=command.kind,
                    target=command.target,
                    detail=command.detail,
                )
        case SettleEffect(effect=effect, outcome=outcome, reference=reference):
            if effect in state.intended or outcome == "reverted":
                yield EffectSettled(
                    **_names(state.which), effect=effect, outcome=outcome, reference=reference
                )
        case Warn():
            if not state.warned:
                yield WallLimitNear(**_names(state.which), **msgspec.structs.asdict(command))
        case ReserveCall():
            yield from _call(command, state.which, state)
        case SettleCall(call=call, tokens=tokens, reference=reference):
            if tokens <= state.calling.get(call, -1):
                yield CallSettled(**_names(state.which), call=call, tokens=tokens, reference=reference)
        case Complete():
            yield from _told(state.which, command.exceeded)
            yield StageCompleted(
                **_names(state.which),
                output=command.output,
                evidence=command.evidence,
                duration_s=command.duration_s,
                tokens_spent=state.tokens_spent,
            )
        case Fail():
            yield from _told(state.which, command.exceeded)
            yield StageFailed(
                **_names(state.which),
                failure=command.failure,
                output=command.output,
                evidence=command.evidence,
                duration_s=command.duration_s,
                tokens_spent=state.tokens_spent,
            )


def evolve(state: Run, event: StageEvent) -> Run:
    """Fold one event into the run."""
    replace = msgspec.structs.replace
    match event:
        case StageStarted(replica=replica, epoch=epoch):
            which = Which(
                run_id=event.run_id, task_id=event.task_id, stage=event.stage, attempt=event.attempt
            )
            return Run(which=which, replica=replica, epoch=epoch)
        case StageResumed(replica=replica, epoch=epoch):
            return replace(state, replica=replica, epoch=epoch, resumptions=state.resumptions + 1)
        case WallLimitNear():
            return replace(state, warned=True)
        case ResourceExceeded():
            return state
        case EffectIntended(effect=effect):
            return replace(state, intended={**state.intended, effect: event})
        case EffectSettled(effect=effect, reference=reference):
            intended = {key: value for key, value in state.intended.items() if key != effect}
            return replace(state, intended=intended, settled={**state.settled, effect: reference})
        case CallReserved(call=call, tokens=tokens):
            # The same call again: what became of it before a crash will never be known.
            lost = state.calling.get(call, 0)
            return replace(state, calling={**state.calling, call: tokens}, spent=state.spent + lost)
        case CallSettled(call=call, tokens=tokens, reference=reference):
            calling = {name: reserved for name, reserved in state.calling.items() if name != call}
            answers = {**state.answers, call: reference}
            return replace(state, calling=calling, answers=answers, spent=state.spent + tokens)
        case TokenGrantExhausted(number=number):
            return replace(state, exhausted=number)
        case StageCompleted() | StageFailed() | StageCancelled():
            return replace(state, ended=True)
        case _:
            assert_never(event)


def _told(which: Which, exceeded: tuple[Exceeded, ...]) -> Iterator[ResourceExceeded]:
    for one in exceeded:
        yield ResourceExceeded(**_names(which), **msgspec.structs.asdict(one))


def _call(command: ReserveCall, which: Which, state: Run) -> Iterator[StageEvent]:
    """Reserve a call, or ask for more, once for every answer; a call that is settled is not made again."""
    wanted = state.tokens_spent + command.tokens
    if command.call in state.answers:
        return
    if wanted <= command.granted:
        yield CallReserved(
            **_names(which),
            call=command.call,
            provider=command.provider,
            tokens=command.tokens,
            granted=command.granted,
        )
    elif state.exhausted == command.answered:
        yield TokenGrantExhausted(
            **_names(which),
            number=state.exhausted + 1,
            call=command.call,
            tokens=wanted - command.granted,
            wanted=wanted,
        )


def _kills_its_runner(state: Run) -> Failure:
    detail = (
        f"the stage-runner died {state.resumptions + 1} times while it worked on this; it is not begun again"
    )
    return Failure(kind="impossible", code="runner_died", detail=detail)


def _names(which: Which) -> dict[str, Any]:
    return {"run_id": which.run_id, "task_id": which.task_id, "stage": which.stage, "attempt": which.attempt}


run: Decider[RunCommand, Run] = Decider("run", Run(), decide, evolve)
