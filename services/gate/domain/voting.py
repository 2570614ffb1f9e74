"""Gates 4 and 5: votes. A quorum counts votes that were cast; consensus is computed from them."""

from __future__ import annotations

from contracts.gate import Consensus, Verdict, Vote
from contracts.task import StageInput
from services.gate.domain.finding import Findings, finding

#: Each axis of the rubric must reach this score; architecture section 6.
PASS = 3
#: Votes of gate 4 that must be cast, of five.
PEER_QUORUM = 3
#: Files whose change touches the supply chain or what runs outside the code under test.
_SUPPLY = (
    "requirements",
    "poetry.lock",
    "package-lock.json",
    "uv.lock",
    "Pipfile",
    "Cargo.lock",
    "go.sum",
    "setup.py",
    "Dockerfile",
    "docker-compose",
)


def unmeasured(subject: StageInput) -> Findings:
    """Find what is missing before anybody can vote: without evidence there is nothing to abstain from either."""
    if not subject.verifications:
        yield finding("no_evidence", "nothing was measured of the change")
    elif subject.review is None or subject.review.tree not in {seen.tree for seen in subject.verifications}:
        yield finding("no_evidence", "there is no review of the tree that was measured")


def peers(subject: StageInput) -> tuple[list[Vote], Consensus]:
    """Let each axis of the rubric vote on its own score; an axis without a measurement abstains."""
    votes: list[Vote] = []
    for axis in subject.review.scores if subject.review else ():
        if axis.score is None:
            votes.append(Vote(voter=axis.axis, verdict="abstain", reason=axis.fact))
        else:
            verdict: Verdict = "approve" if axis.score >= PASS else "reject"
            votes.append(Vote(voter=axis.axis, verdict=verdict, reason=axis.fact, score=axis.score))
    return votes, _consensus(votes, PEER_QUORUM)


def experts(subject: StageInput) -> tuple[list[Vote], Consensus]:
    """Ask the experts of the domains that the change touches; each of them must vote."""
    votes: list[Vote] = []
    for seen in subject.verifications:
        facts = seen.facts
        if facts.public_removed:
            names = ", ".join(facts.public_removed[:3])
            told = facts.docs_touched
            votes.append(
                Vote(
                    voter="public API",
                    verdict="approve" if told else "reject",
                    reason=f"{seen.repo} loses {names}"
                    + (", and its documentation says so" if told else " without a word in its documentation"),
                )
            )
        supply = [path for path in facts.files if path.rpartition("/")[2].startswith(_SUPPLY)]
        if supply:
            named = any(path in subject.spec.body or path in subject.spec.title for path in supply)
            votes.append(
                Vote(
                    voter="supply chain",
                    verdict="approve" if named else "reject",
                    reason=f"{supply[0]} of {seen.repo} changes"
                    + (", as the task asks" if named else " though the task does not name it"),
                )
            )
    return votes, _consensus(votes, len(votes))


def _consensus(votes: list[Vote], needed: int) -> Consensus:
    cast = [vote for vote in votes if vote.verdict in ("approve", "reject")]
    return Consensus(rule="unanimous", cast=len(cast), needed=needed, reached=len(cast) >= needed)
