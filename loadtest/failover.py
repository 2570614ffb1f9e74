"""Kills the leading scheduler of the compose stack while another stands by: `python -m loadtest.failover [--kills 5]`.

Tasks are submitted over the published port all the while, each on a connection of its own and with the same key until it is
accepted, as a careful client does. Prints for each kill when another led and when a task was accepted, and judges the
record in the end. Exit status: 0 when every accepted task has ended and no rule is broken.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from autopilot.stack.config import HOST, StackConfig
from loadtest.containers import ENGINE_S, container_stack, engine
from loadtest.traffic import wishes
from loadtest.witness import Witness

#: Seconds for one request, between two of them, and between two looks at who leads.
REQUEST_S, BETWEEN_S, LOOK_S = 15.0, 0.02, 0.01
#: Seconds in which another must lead and be reached; and what a simulated task waits in all.
PATIENCE_S, TASK_S = 60.0, 4.0
SCHEDULERS = 2


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """What one kill came to; times in seconds since the engine had killed the leader."""

    killed: str
    leads: str
    #: Until another held the lease.
    led_s: float
    #: Until the first task was accepted that was submitted after the kill.
    accepted_s: float
    #: Answers other than an acceptance, and connections that broke, from the kill until then.
    refused: tuple[str, ...]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the client; times by the monotonic clock."""

    sent: float
    answered: float
    #: What came of it; empty when the task was accepted.
    fault: str


class Client(threading.Thread):
    """Submits one task after the other."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__(name="client", daemon=True)
        self._port = config.ports["scheduler"]
        self._token = (config.secrets_dir / "api-token").read_text(encoding="utf-8").strip()
        self._chance = random.Random(1)  # noqa: S311 - what is submitted is no secret
        self._stopping = threading.Event()
        self.accepted: list[str] = []
        self.requests: list[Request] = []

    def run(self) -> None:
        """Work until told to stop."""
        number = 0
        while not self._stopping.wait(BETWEEN_S):
            number += 1
            body = json.dumps(wishes.task(self._chance, TASK_S))
            while not self._stopping.is_set() and not self._submit(f"failover-{number}", body):
                time.sleep(BETWEEN_S)

    def stop(self) -> None:
        """Let the request at hand end, then no more."""
        self._stopping.set()
        self.join(REQUEST_S)

    def _submit(self, key: str, body: str) -> bool:
        sent, fault = time.monotonic(), ""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=REQUEST_S)
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": key}
        try:
            connection.request("POST", "/v1/tasks", body, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status in (200, 202):
                self.accepted.append(told["id"])
            else:
                fault = f"{answer.status} {told['title']}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            fault = type(error).__name__
        finally:
            connection.close()
        self.requests.append(Request(sent=sent, answered=time.monotonic(), fault=fault))
        return not fault


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.failover", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    with container_stack() as config, several(), watched(config) as (witness, client):
        client.start()
        kills = [kill_leader(witness, client) for _ in range(options.kills)]
        client.stop()
        record, breaches = witness.at_rest(client.accepted)
    print(table(kills))
    print(f"{len(client.accepted)} tasks accepted, {len(record.events)} events, {len(breaches)} breaches")
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


@contextmanager
def several() -> Iterator[None]:
    """Have several schedulers for a while, then one."""
    engine("up", "-d", "--wait", "--scale", f"scheduler={SCHEDULERS}")
    try:
        yield
    finally:
        engine("up", "-d", "--wait")


@contextmanager
def watched(config: StackConfig) -> Iterator[tuple[Witness, Client]]:
    """Look at the record from outside, beside a client that was not started yet."""
    witness, client = Witness(config), Client(config)
    try:
        yield witness, client
    finally:
        client.stop() if client.is_alive() else None
        witness.close()


def kill_leader(witness: Witness, client: Client) -> Failover:
    """Kill the container that leads, see who comes after it, and start it again. Raises TimeoutError."""
    killed = leader(witness)
    assert killed is not None
    _docker("kill", killed)
    at = time.monotonic()
    while (after := leader(witness)) in (None, killed):
        _within(at, "another leads")
    led = time.monotonic()
    while not (through := [one for one in client.requests if one.sent >= at and not one.fault]):
        _within(at, "a task is accepted")
    found = Failover(
        killed=killed,
        leads=str(after),
        led_s=led - at,
        accepted_s=through[0].answered - at,
        refused=tuple(
            one.fault for one in client.requests if at <= one.answered <= through[0].answered and one.fault
        ),
    )
    print(f"{found}", file=sys.stderr, flush=True)
    _docker("start", killed)
    # Until it is healthy again: as a standby.
    engine("up", "-d", "--wait", "--scale", f"scheduler={SCHEDULERS}")
    return found


def leader(witness: Witness) -> str | None:
    """Name who holds the lease now: its container."""
    rows = witness.ask("select holder from lease where name = 'scheduler' and until > clock_timestamp()")
    return str(rows[0]["holder"]) if rows else None


def table(kills: Sequence[Failover]) -> str:
    """Write the kills as Markdown."""
    lines = [
        "| another leads after s | a task is accepted after s | answered otherwise until then |",
        "|---|---|---|",
    ]
    for one in kills:
        refused = ", ".join(one.refused) or "-"
        lines.append(f"| {one.led_s:.2f} | {one.accepted_s:.2f} | {refused} |")
    return "\n".join(lines)


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=ENGINE_S)


def _within(since: float, what: str) -> None:
    if time.monotonic() > since + PATIENCE_S:
        raise TimeoutError(f"{what} not within {PATIENCE_S:g} s")
    time.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
