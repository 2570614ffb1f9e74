"""Sends tasks to the scheduler: all or none, and once, though an answer may get lost on the way."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import msgspec

from autopilot.cli.client import Client
from autopilot.cli.failure import CliError, UnreachableError, passing
from contracts.task import OnFailedDependency, TaskSpec

#: Seconds for which a scheduler that is being restarted is waited for, and between two tries.
PATIENCE_S, PAUSE_S = 30.0, 0.5


def send(
    client: Client,
    specs: Sequence[TaskSpec],
    key: str = "",
    *,
    on_failed_dependency: OnFailedDependency = "park",
    anyway: bool = False,
) -> list[str]:
    """Submit tasks as one batch; return their ids in the order given.

    `key` is the Idempotency-Key: sent again, it gives the same tasks. `anyway` has them wait behind however many there
    are. Raises RefusedError, and UnreachableError where it is not known whether they were accepted.
    """
    key = key or str(uuid.uuid4())
    body = msgspec.json.encode({"tasks": specs, "on_failed_dependency": on_failed_dependency})
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    parameters = {"enqueue": "always"} if anyway else {}
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = client.scheduler("POST", "/v1/batches", content=body, headers=headers, params=parameters)
            return [one["id"] for one in answer["tasks"]]
        except CliError as error:
            if not passing(error):
                raise
            if time.monotonic() > end:
                detail = (
                    f"whether the tasks were accepted is not known; --idempotency-key {key} repeats safely"
                )
                raise UnreachableError(f"{error}; {detail}") from error
        time.sleep(PAUSE_S)
