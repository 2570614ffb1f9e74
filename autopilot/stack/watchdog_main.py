"""Outlives the supervisor by a moment and ends what it leaves behind; run as a program of its own.

`python -I -S -c … RUN_ID` with one word a line on standard input:

- `+ PID SIGNAL IDENTITY`: watch this process; `- PID`: it has ended.
- `bye`: an orderly end, nothing is left to do.

End of input without `bye` means that the supervisor was killed. The kernel's own signal at the parent's death
reaches direct children only; this reaches their process groups and whatever carries the run's mark. It holds the
supervisor's lock on the data directory meanwhile (an inherited file), so that no new stack starts among the remains.
"""

from __future__ import annotations

import signal
import sys
import time

from autopilot.stack import processes

#: Seconds for Postgres and NATS to end by themselves before they are killed.
_GRACE_S = 5.0
_POLL_S = 0.02


def main(run_id: str) -> None:
    """Read what to watch until the input ends, then end it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, tuple[int, str]] = {}
    for line in sys.stdin:
        word, *rest = line.split(maxsplit=3)
        if word == "bye":
            return
        if word == "+":
            watched[int(rest[0])] = (int(rest[1]), rest[2].strip())
        elif word == "-":
            watched.pop(int(rest[0]), None)
    end(run_id, watched)


def end(run_id: str, watched: dict[int, tuple[int, str]]) -> None:
    """End the watched processes, their groups and all that is marked with the run."""
    for pid, (signum, expected) in watched.items():
        if signum == signal.SIGKILL:
            processes.kill_group(pid, expected)
        else:
            processes.send(pid, expected, signum)
    deadline = time.monotonic() + _GRACE_S
    while any(processes.is_running(pid, expected) for pid, (_, expected) in watched.items()):
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    for pid, (_, expected) in watched.items():
        processes.kill_group(pid, expected)
    while processes.kill_marked(f"{run_id}/") and time.monotonic() < deadline + _GRACE_S:
        time.sleep(_POLL_S)
