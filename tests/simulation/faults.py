"""What goes wrong in a run and how often, drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Faults:
    """Chances per call or message, and counts of what happens at moments of its own.

    Few kinds at a time and often, rather than all kinds always: much of what goes wrong hides what else would.
    """

    #: A process dies right before, or right after, it writes to the record or the bus, or acknowledges.
    crash: float = 0.0
    #: A process is stopped right before it asks for a write, and woken later: what it asks for was decided long ago.
    freeze: float = 0.0
    #: The record does not answer, and has not done what was asked.
    refused: float = 0.0
    #: The record does not answer; what was asked is done all the same, now or in a while.
    unknown: float = 0.0
    #: A call to the record or the bus takes seconds instead of milliseconds.
    slow: float = 0.0
    #: The bus stores a message and does not confirm it.
    unconfirmed: float = 0.0
    #: The bus neither stores a message nor confirms it.
    unsent: float = 0.0
    #: A message is handed out and does not arrive.
    dropped: float = 0.0
    #: A message is handed out twice.
    doubled: float = 0.0
    #: A message comes later than those behind it.
    delayed: float = 0.0
    #: An acknowledgement does not arrive.
    unacknowledged: float = 0.0
    #: An acknowledgement arrives seconds late, when somebody else may hold the message.
    late: float = 0.0
    #: What a call to a forge or a pager did is not known to who made it.
    outside: float = 0.0
    #: Processes that are killed, and that are stopped for a while and woken (SIGSTOP, SIGCONT).
    kills: int = 0
    pauses: int = 0
    #: Times that the bus, or the record, is away.
    bus_outages: int = 0
    record_outages: int = 0
    #: Times that everything is killed at once.
    blackouts: int = 0
    #: Processes for which everything takes fifty times as long.
    sluggish: int = 0
    #: Times that the bus loses something it had confirmed.
    losses: int = 0
    #: Whether the auditor looks at the bus; it does where something gets lost, and must find nothing where nothing is.
    audited: bool = False

    def without(self, *names: str) -> Faults:
        """Leave kinds of faults out."""
        return replace(self, **{name: type(getattr(self, name))(0) for name in names})

    def __str__(self) -> str:
        told = [f"{one.name} {getattr(self, one.name):g}" for one in fields(self) if getattr(self, one.name)]
        return ", ".join(told) or "no faults"


NONE = Faults()

#: Kind, and how often at most in a run that has it.
_CHANCES = {
    "crash": 0.01,
    "freeze": 0.005,
    "refused": 0.03,
    "unknown": 0.03,
    "slow": 0.01,
    "unconfirmed": 0.3,
    "unsent": 0.3,
    "dropped": 0.1,
    "doubled": 0.4,
    "delayed": 0.3,
    "unacknowledged": 0.3,
    "late": 0.2,
    "outside": 0.5,
}
_COUNTS = {
    "kills": 6,
    "pauses": 6,
    "bus_outages": 3,
    "record_outages": 2,
    "blackouts": 2,
    "sluggish": 3,
}


def draw(dice: random.Random) -> Faults:
    """Draw the faults of a run: each kind is there in two runs of five, the auditor in one of four."""
    chances = {
        kind: round(most * dice.uniform(0.1, 1.0), 4)
        for kind, most in _CHANCES.items()
        if dice.random() < 0.4
    }
    counts = {kind: dice.randint(1, most) for kind, most in _COUNTS.items() if dice.random() < 0.4}
    # Of their own, so that what was drawn before them stays as it was.
    aside = random.Random(dice.getstate()[1][0])
    audited = aside.random() < 0.25
    losses = aside.choice((0, 1, 1, 2, 3)) if audited else 0
    return Faults(**chances, **counts, losses=losses, audited=audited)
