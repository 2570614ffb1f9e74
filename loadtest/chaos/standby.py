"""Several schedulers: the leader is killed again and again, and one of those that stand by leads."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from loadtest.chaos.arena import Arena, ChaosError, until
from loadtest.chaos.case import Fault
from loadtest.chaos.load import BUSY, Load, holders
from loadtest.chaos.replica import paused, second

#: Kills of a leader while others stand by, and open tasks before the first: more than end meanwhile.
KILLS, OPEN = 4, 200
#: Seconds within which another leads: the lease's 1.5 s, a quarter for the look of who waits, and one for a busy machine.
LEADS_S = 2.75


def kill_leading_scheduler(arena: Arena, load: Load) -> list[Fault]:
    """Kill whoever leads of three schedulers while tasks are in hand; the dead one comes back as a standby."""
    faults: list[Fault] = []
    # The supervised one would be back before its lease is over; it is stopped, so that the two others have to do it.
    with ExitStack() as stack:
        standbys = {
            name: stack.enter_context(_restartable(arena, name)) for name in ("scheduler-2", "scheduler-3")
        }
        # People reach the stopped one only: what is to be done is there before.
        load.keep_at_least(OPEN)
        with paused(arena.pid("scheduler"), (signal.SIGSTOP, signal.SIGCONT)):
            leader = _next_leader(arena, _leader(arena)[1])
            for number in range(KILLS):
                until(lambda: holders(arena) or None, "tasks hold slots", look_s=0.0)
                name, epoch = leader
                faults.append(Fault(part="scheduler", at=standbys[name].kill()))
                began = time.monotonic()
                leader = _next_leader(arena, epoch)
                took = time.monotonic() - began
                print(f"kill {number}: {leader[0]} leads after {took:.2f} s", file=sys.stderr, flush=True)
                if leader[0] == name or took > LEADS_S:
                    raise ChaosError(f"after the end of {name}, {leader[0]} led after {took:.2f} s")
                standbys[name].start()
        load.wait_until_open(BUSY // 2)
    arena.pid("scheduler")
    return faults


class _Restartable:
    """A scheduler beside the supervised one, killed and started again by its name."""

    def __init__(self, arena: Arena, name: str) -> None:
        self._arena, self._name = arena, name
        self._life = ExitStack()
        self._pid = 0

    def start(self) -> None:
        """Start it; it stands by."""
        self._pid = self._life.enter_context(
            second(self._arena, "scheduler", int(self._name.rpartition("-")[2]))
        )

    def kill(self) -> float:
        """Kill it with -9; return the time."""
        os.kill(self._pid, signal.SIGKILL)
        at = time.time()
        self.end()
        return at

    def end(self) -> None:
        """Make sure that it is gone."""
        self._life.close()
        self._life = ExitStack()


@contextmanager
def _restartable(arena: Arena, name: str) -> Iterator[_Restartable]:
    one = _Restartable(arena, name)
    one.start()
    try:
        yield one
    finally:
        one.end()


def _leader(arena: Arena) -> tuple[str, int]:
    """Tell who leads, and under which epoch."""

    def look() -> tuple[str, int] | None:
        rows = arena.ask(
            "select holder, epoch from lease where name = 'scheduler' and until > clock_timestamp()"
        )
        return (str(rows[0]["holder"]), int(rows[0]["epoch"])) if rows else None

    return until(look, "a scheduler leads")


def _next_leader(arena: Arena, epoch: int) -> tuple[str, int]:
    return until(
        lambda: now if (now := _leader(arena))[1] > epoch else None, f"a scheduler leads after epoch {epoch}"
    )
