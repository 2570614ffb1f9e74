"""Ends by force: of one part, of a relay in the middle of its work, of everything at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from autopilot.stack import status
from autopilot.stack.config import NATS, POSTGRES
from autopilot.stack.status import StackStatus
from loadtest.chaos.arena import Arena, until
from loadtest.chaos.case import Fault, Harm
from loadtest.chaos.holding import hold_the_bus_until_something_waits
from loadtest.chaos.load import BUSY, Load, holders, undecided

#: Seconds between two kills of one part: the supervisor takes six in a minute for a defect and gives the part up.
APART_S = 13.0
#: Moments of a start in which it is killed: a part, and what it is at then.
MOMENTS = ((POSTGRES, "starting"), (NATS, "ready"), ("scheduler", "starting"), ("gate", "ready"))


def kill(part: str, times: int = 1) -> Harm:
    """Kill a part with -9 while tasks are in hand."""
    in_hand = undecided if part == "gate" else holders

    def harm(arena: Arena, load: Load) -> list[Fault]:
        faults = []
        for number in range(times):
            if number:
                time.sleep(APART_S)
            arena.pid(part)
            load.keep_at_least(BUSY)
            until(lambda: in_hand(arena) or None, f"{part} has a task in hand", look_s=0.0)
            faults.append(Fault(part=part, at=arena.kill(part)))
            until(
                lambda: arena.status.processes[part].state != "ready" or None, f"the end of {part} is noticed"
            )
        arena.pid(part)
        return faults

    return harm


def hang(part: str) -> Harm:
    """Stop a part for good (SIGSTOP) while tasks are in hand; the supervisor has to notice, end it and start another."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        load.keep_at_least(BUSY)
        pid, at = arena.pid(part), time.time()
        os.kill(pid, signal.SIGSTOP)
        until(lambda: arena.status.processes[part].pid != pid or None, f"the stopped {part} is ended")
        arena.pid(part)
        return [Fault(part=f"hung {part}", at=at)]

    return harm


def kill_relay(part: str, times: int = 1) -> Harm:
    """Kill a service with -9 while what it has committed is not yet on the bus."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        faults = []
        for number in range(times):
            if number:
                time.sleep(APART_S)
            arena.pid(part)
            load.keep_at_least(BUSY)
            waiting = hold_the_bus_until_something_waits(arena, part)
            tasks = sorted({event["task"] for event in waiting})
            try:
                faults.append(Fault(part="relay", at=arena.kill(part), tasks=tasks))
            finally:
                arena.nats.turn("fair")
        arena.pid(part)
        return faults

    return harm


def kill_everything(arena: Arena, load: Load) -> list[Fault]:
    """Kill every process at once, the supervisor too, and start again on what is left."""
    del load
    at = arena.kill_everything()
    arena.start()
    return [Fault(part="everything", at=at)]


def kill_supervisor(arena: Arena, load: Load) -> list[Fault]:
    """Kill the supervisor alone; its watchdog has to end the rest before a new one may start."""
    del load
    os.kill(arena.status.pid, signal.SIGKILL)
    at = time.time()
    arena.wait_until_dead()
    arena.start()
    return [Fault(part="supervisor", at=at)]


def kill_during_start(arena: Arena, load: Load) -> list[Fault]:
    """Kill everything, then each new start half-way, then let one through."""
    del load
    at = arena.kill_everything()
    for part, state in MOMENTS:
        before = arena.status.run_id
        with arena.config.log_file("supervisor").open("ab") as log:
            up = subprocess.Popen(arena.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: _begun(arena, before, part, state) or None, f"{part} is {state}")  # noqa: B023 - called here
            arena.kill_everything()
        finally:
            up.kill()
            up.wait()
    arena.start()
    return [Fault(part="start", at=at)]


def _begun(arena: Arena, before: str, part: str, state: str) -> bool:
    """Tell whether a new run has come so far."""
    now: StackStatus | None = status.read(arena.config.stack_file)
    return (
        now is not None
        and now.run_id != before
        and part in now.processes
        and now.processes[part].state == state
    )
