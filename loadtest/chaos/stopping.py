"""Emergency stops, looked at from outside: whether any process of a stage is left, and whether all goes on afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from autopilot.cli import demo
from autopilot.cli.client import Client
from autopilot.cli.sending import send
from contracts.task import TaskSpec
from loadtest.chaos.arena import Arena, ChaosError, until
from loadtest.chaos.case import Fault
from loadtest.chaos.holding import held
from loadtest.chaos.load import BUSY, Load
from loadtest.chaos.replica import second

#: Stops, one after the other, and seconds within which no process of a stage may be left.
STOPS, GONE_S = 6, 2.0
#: Those of them of which nobody hears over the bus, and the one during which a third replica comes.
UNHEARD, JOINED = {1, 3, 5}, 2
#: Seconds for which none may appear again, and seconds between looks.
STILL_S, LOOK_S = 3.0, 0.02
#: Tasks whose commands do not end by themselves and do not heed a signal that can be ignored, and those of them that are
#: let go in the end; the others are cancelled.
STUBBORN, LET_GO = 7, 2
#: Runs of one replica at once, so that one alone cannot have all the stubborn ones, and commands among them.
PLACES = {"AUTOPILOT_CONFIG_PLACES": "6", "AUTOPILOT_CONFIG_HEAVY_PLACES": "6"}


@contextlib.contextmanager
def few_places(data_dir: Path) -> Iterator[None]:
    """Let each stage-runner take few runs at once."""
    del data_dir
    before = {name: os.environ.get(name) for name in PLACES}
    os.environ.update(PLACES)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def stop_and_go(arena: Arena, load: Load) -> list[Fault]:
    """Stop everything again and again while stage-runners have simulated and stubborn work in hand.

    The bus says nothing during every other stop, and during one of them another replica joins.
    """
    client, faults = Client(arena.config), []
    latch = arena.config.data_dir.parent / "stubborn"
    latch.mkdir()
    with contextlib.ExitStack() as replicas:
        replicas.enter_context(second(arena, "stage-runner"))
        stubborn = send(client, _stubborn(latch))
        load.accepted += stubborn
        for number in range(STOPS):
            load.keep_at_least(BUSY)
            until(lambda: len(_runs(arena)) >= STUBBORN or None, "all stubborn runs have processes")
            with held(arena) if number in UNHEARD else contextlib.nullcontext():
                began, at = time.monotonic(), time.time()
                client.scheduler(
                    "PUT", "/v1/mode", json={"mode": "emergency-stop", "reason": f"drill {number}"}
                )
                took = _until_gone(arena, began)
                print(f"emergency stop {number}: no process after {took:.2f} s", file=sys.stderr, flush=True)
                if number == JOINED:
                    replicas.enter_context(second(arena, "stage-runner", 3))
                _watch(arena)
            client.scheduler("PUT", "/v1/mode", json={"mode": "normal", "reason": "the drill is over"})
            faults.append(Fault(part="emergency stop", at=at))
        for number, task in enumerate(stubborn):
            if number < LET_GO:
                (latch / str(number) / "open").touch()
            else:
                client.scheduler("POST", f"/v1/tasks/{task}/cancel", json={})
    return faults


def _until_gone(arena: Arena, began: float) -> float:
    """Return how long it took until no process of a stage was left. Raises ChaosError beyond the bound."""
    while left := _runs(arena):
        if time.monotonic() - began > GONE_S:
            raise ChaosError(f"{GONE_S:g} s after an emergency stop there are processes of {sorted(left)}")
        time.sleep(LOOK_S)
    return time.monotonic() - began


def _watch(arena: Arena) -> None:
    end = time.monotonic() + STILL_S
    while time.monotonic() < end:
        if left := _runs(arena):
            raise ChaosError(f"during an emergency stop there are processes of {sorted(left)}")
        time.sleep(LOOK_S)


def _runs(arena: Arena) -> set[str]:
    """Name the runs of this stack that have processes: each carries the run and its directory in its environment."""
    whose = hashlib.sha256(str(arena.config.data_dir.absolute()).encode()).hexdigest()[:12]
    found = set()
    for place in os.scandir("/proc"):
        if not place.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for entry in Path(place.path, "environ").read_bytes().split(b"\0"):
                run, _, mark = entry.decode(errors="replace").rpartition("-")
                if run.startswith("AUTOPILOT_COOKIE=") and mark == whose and _lives(place.path):
                    found.add(run.partition("=")[2])
    return found


def _lives(place: str) -> bool:
    fields = Path(place, "stat").read_text(errors="replace").rpartition(") ")[2]
    return fields[:1] not in "ZX"


def _stubborn(latch: Path) -> list[TaskSpec]:
    """Describe the demo's right change in repositories whose set-up hangs until it is let go.

    Each has a repository of its own: tasks that plan to change the same files of one are carried out one after the other.
    """
    held = []
    for number in range(STUBBORN):
        (spec,) = demo.tasks(["right"], latch.parent / f"stubborn-repository-{number}")
        place = latch / str(number)
        place.mkdir()
        command = f"trap '' TERM INT HUP; until [ -e '{place / 'open'}' ]; do sleep 0.1; done"
        repos = tuple(
            msgspec.structs.replace(repo, setup=command, env={**repo.env, "LATCH": str(place)})
            for repo in spec.repos
        )
        key = f"stubborn-{number}"
        held.append(msgspec.structs.replace(spec, key=key, repos=repos, priority="urgent"))
    return held
