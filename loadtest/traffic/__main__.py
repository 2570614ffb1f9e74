"""Drives a stack of its own with Locust and judges what came of it: `python -m loadtest.traffic [--containers]`.

100 tasks at once, of no-op stages and of an agent that sleeps in the sandbox. Prints figures per route and per stage, writes
them as JSON, and exits 1 when a request failed, a user found something wrong, or the record breaks a rule of the checker.
Users are processes of their own: Locust replaces the standard library's sockets with gevent's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from autopilot.cli.client import Client
from autopilot.stack.config import StackConfig
from loadtest.containers import container_stack, engine
from loadtest.ownstack import own_stack
from loadtest.traffic import repository
from loadtest.traffic.report import Report, failures, report, routes, text
from loadtest.witness import OPEN, Witness

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
#: Where the command line's container makes the agents' repository, in the volume that it shares with the stage-runner.
IN_CONTAINERS = "/scratch/waiting"
#: Seconds between looks at what is still open, and after the last users for all of it to end.
LOOK_S, PATIENCE_S = 1.0, 300.0
#: Seconds that the generator gets beyond the time of its users.
GRACE_S = 60.0


def main() -> int:
    """Run and report."""
    options = _options()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    # Read when the stack starts.
    os.environ.update(_settings(options))
    with (
        tempfile.TemporaryDirectory(prefix="autopilot-traffic-") as scratch,
        (_containers if options.containers else _embedded)(Path(scratch), options) as place,
    ):
        found = _run(place, Path(scratch), options)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    print(text(found))
    return 0 if found.sound else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.traffic", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--containers", action="store_true", help="on the compose stack instead of an embedded one")
    add("--seconds", type=int, default=90, help="for which users are there")
    add("--users", type=int, default=60)
    add("--processes", type=int, default=1, help="of the load generator")
    add("--max-concurrent", type=int, default=100, help="slots of the stack")
    add("--task-seconds", type=float, default=8.0, help="what a task of no-op stages waits in all, about")
    add("--agent-seconds", type=float, default=5.0, help="what the agent of engine command sleeps")
    add("--json", type=Path, default=Path("build/loadtest.json"))
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> Mapping[str, str]:
    """Let as many agents sleep at once as there are slots: they use next to nothing, and by default cores bound them."""
    places = str(options.max_concurrent)
    return {"AUTOPILOT_CONFIG_HEAVY_PLACES": places, "AUTOPILOT_HEAVY_PLACES": places}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the users go."""

    config: StackConfig
    #: Of the agents' repository and of the test runner, as the stage-runner sees them.
    repository: str
    tools: str


@contextmanager
def _embedded(scratch: Path, options: argparse.Namespace) -> Iterator[Place]:
    made = repository.make(scratch / "waiting", options.agent_seconds)
    with own_stack() as config:
        yield Place(config=config, repository=str(made), tools=str(Path(sys.executable).parent))


@contextmanager
def _containers(_: Path, options: argparse.Namespace) -> Iterator[Place]:
    with container_stack() as config:
        make = ("-m", "loadtest.traffic.repository", IN_CONTAINERS, str(options.agent_seconds))
        engine("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "cli", *make)
        yield Place(config=config, repository=IN_CONTAINERS, tools="/opt/venv/bin")


def _run(place: Place, scratch: Path, options: argparse.Namespace) -> Report:
    Client(place.config).scheduler("PUT", "/v1/config", json={"max_concurrent": options.max_concurrent})
    accepted, before = scratch / "accepted", _load()
    began = time.time()
    status = _generate(place, scratch, options)
    gone = time.time()
    witness = Witness(place.config)
    try:
        _wait_until_ended(witness)
        names = accepted.read_text(encoding="utf-8").split() if accepted.exists() else []
        record, breaches = witness.at_rest(names)
    finally:
        witness.close()
    return report(
        record,
        breaches,
        (began, gone),
        options.max_concurrent,
        load=(before, _load()),
        generator=status,
        routes=routes(scratch / "figures.json"),
        failures=failures(scratch / "figures"),
        accepted=len(names),
    )


def _generate(place: Place, scratch: Path, options: argparse.Namespace) -> int:
    """Let users loose; return the generator's exit status."""
    command = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary"]
    command += [
        "-u",
        options.users,
        "-r",
        max(1, options.users // 5),
        "-t",
        f"{options.seconds}s",
        "-s",
        "10",
    ]
    command += ["--json-file", scratch / "figures", "--csv", scratch / "figures"]
    command += ["--data-dir", place.config.data_dir, "--task-seconds", options.task_seconds]
    command += ["--repository", place.repository, "--tools", place.tools]
    command += ["--accepted", scratch / "accepted"]
    if options.processes > 1:
        command += ["--processes", options.processes]
    with (options.json.parent / "loadtest.log").open("wb") as log:
        done = subprocess.run(
            list(map(str, command)), stdout=log, stderr=log, check=False, timeout=options.seconds + GRACE_S
        )
    return done.returncode


def _wait_until_ended(witness: Witness) -> None:
    """Wait until no task is under way; what has not ended by then is what the checker will say."""
    end = time.monotonic() + PATIENCE_S
    while witness.ask(OPEN)[0][0] and time.monotonic() < end:
        time.sleep(LOOK_S)


def _load() -> float:
    return round(os.getloadavg()[0], 1)


if __name__ == "__main__":
    sys.exit(main())
