"""An aggregate as a value: where it starts, what it decides, how an event changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts.message import Event, Unknown

Command = TypeVar("Command", contravariant=True)
State = TypeVar("State")


def _one(state: Any) -> int:
    return 1


@dataclass(frozen=True)
class Decider(Generic[Command, State]):
    """A pure heart: `decide(command, state)` yields events, nothing if it is already so; `evolve` folds them."""

    #: Stream category that it owns.
    category: str
    initial: State
    decide: Callable[[Command, State], Iterable[Event]]
    evolve: Callable[[State, Any], State]
    #: How many parts a state has, where it may have many: a snapshot of it is as much work.
    size: Callable[[State], int] = _one

    def fold(self, events: Iterable[Event | Unknown], state: State | None = None) -> State:
        """Fold events from the beginning, or onto a state. Events of a newer release change nothing."""
        current = self.initial if state is None else state
        for event in events:
            if not isinstance(event, Unknown):
                current = self.evolve(current, event)
        return current
