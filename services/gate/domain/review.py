"""One question to one gate, answered once."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.gate import Consensus, GateDecided, GateEvent, Verdict, Vote
from contracts.receipt import Problem
from contracts.task import GateRequested, StageInput
from libs.eventsourcing.decider import Decider
from services.gate.domain import adversarial, automated, plan, risk, voting
from services.gate.domain.finding import finding

#: Gates that judge findings: anything found rejects.
RULES = {0: plan.judge, 1: automated.judge, 2: risk.judge, 3: adversarial.judge}
#: Gates that count votes.
VOTES = {4: voting.peers, 5: voting.experts}


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """A gate is asked."""

    request: GateRequested


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the question has been answered."""

    verdict: Verdict | None = None


def decide(command: Judge, state: Review) -> Iterator[GateEvent]:
    """Answer a question once."""
    request = command.request
    if state.verdict is not None:
        return
    verdict, findings, votes, consensus = _judge(request.gate, request.subject)
    yield GateDecided(
        review_id=request.review_id,
        task_id=request.task_id,
        gate=request.gate,
        round=request.round,
        verdict=verdict,
        findings=tuple(findings),
        votes=tuple(votes),
        consensus=consensus,
        trees={} if request.gate == 0 else {seen.repo: seen.tree for seen in request.subject.verifications},
    )


def _judge(gate: int, subject: StageInput) -> tuple[Verdict, list[Problem], list[Vote], Consensus | None]:
    if subject.spec.synthetic and subject.spec.engine == "noop":
        # Simulated work has nothing to judge; its events are marked and count nowhere.
        return "approve", [], [], None
    try:
        if rule := RULES.get(gate):
            findings = list(rule(subject))
            return ("reject" if findings else "approve"), findings, [], None
        if count := VOTES.get(gate):
            if lacking := list(voting.unmeasured(subject)):
                return "reject", lacking, [], None
            return _counted(*count(subject))
    except Exception as error:  # a gate that fails to run is a rejection
        return "error", [finding("gate_failed", f"gate {gate} failed to run: {error!r}")], [], None
    return "error", [finding("gate_failed", f"there is no gate {gate}")], [], None


def _counted(votes: list[Vote], consensus: Consensus) -> tuple[Verdict, list[Problem], list[Vote], Consensus]:
    against = [finding("vote", f"{vote.voter}: {vote.reason}") for vote in votes if vote.verdict == "reject"]
    verdict: Verdict = "reject" if against else "approve" if consensus.reached else "abstain"
    return verdict, against, votes, consensus


def evolve(state: Review, event: GateEvent) -> Review:
    """Remember the answer."""
    return Review(verdict=event.verdict)


review: Decider[Judge, Review] = Decider("review", Review(), decide, evolve)
