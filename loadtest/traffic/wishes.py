"""Tasks as users of the load test write them, all marked synthetic, and requests that have to be refused."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec

from loadtest.traffic.routes import (
    CANCEL,
    REPRIORITISE,
    RETRY,
    SET_SETTINGS,
    SHOWN_EVENTS,
    STREAM,
    SUBMIT,
    SUBMIT_BATCH,
    TASK,
    WEIGH,
    Route,
)

#: Seconds that each simulated stage waits, as the shares of one task.
SHARES = {"spec": 0.05, "plan": 0.1, "implement": 0.55, "verify": 0.25, "pr": 0.05}
#: One task in so many fails a stage once, and one in so many never gets through.
FAILS_ONCE, FAILS = 10, 25
PRIORITIES = ("urgent", "normal", "normal", "normal", "low")
QUEUES = ("default", "blue", "green")
#: Tasks of a batch at most.
BATCH = 8


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A request that must be answered with one of these statuses, as a problem."""

    route: Route
    statuses: tuple[int, ...]
    parameters: dict[str, str] = {}
    body: str = ""
    headers: dict[str, str] = {}
    query: str = ""


def task(chance: random.Random, seconds: float, **more: Any) -> dict[str, Any]:
    """Write a task of no-op stages that waits for about so many seconds in all; some fail."""
    body = [
        f"work {stage} {share * seconds * chance.uniform(0.7, 1.3):.3f}" for stage, share in SHARES.items()
    ]
    if chance.randrange(FAILS) == 0:
        body.append("fail verify 9")
    elif chance.randrange(FAILS_ONCE) == 0:
        body.append("fail verify")
    return {
        "title": "simulated by the load test",
        "body": "\n".join(body),
        "repos": [{"name": "nowhere", "url": "/nowhere"}],
        "engine": "noop",
        "priority": chance.choice(PRIORITIES),
        "queue": chance.choice(QUEUES),
        "synthetic": True,
        **more,
    }


def batch(chance: random.Random, seconds: float) -> dict[str, Any]:
    """Write a batch in which every task but the first depends on one or two before it."""
    tasks = [task(chance, seconds, key="k0")]
    for place in range(1, chance.randint(2, BATCH)):
        needs = chance.sample([f"k{before}" for before in range(place)], k=min(place, chance.randint(1, 2)))
        tasks.append(task(chance, seconds, key=f"k{place}", depends_on=needs))
    return {"tasks": tasks, "on_failed_dependency": chance.choice(["park", "cancel"])}


def refused(chance: random.Random) -> Refused:
    """Choose a request that has to be refused."""
    good = task(chance, 1.0)
    return chance.choice(
        [
            Refused(route=SUBMIT, statuses=(400,), body="{"),
            Refused(route=SUBMIT, statuses=(400,), body="[" * 100_000),
            Refused(route=SUBMIT, statuses=(422,), body="[]"),
            _wrong(SUBMIT, {**good, "colour": "blue"}),
            _wrong(SUBMIT, {**good, "synthetic": False}),
            _wrong(SUBMIT, {**good, "title": "a\0b"}),
            _wrong(SUBMIT, {**good, "budget": {"wall_s": 0}}),
            _wrong(SUBMIT, {**good, "depends_on": ["tnobody"]}),
            _wrong(SUBMIT, {**good, "priority": "yesterday"}),
            _wrong(SUBMIT_BATCH, {"tasks": []}),
            _wrong(SUBMIT_BATCH, {"tasks": [good, {**good, "engine": "llm"}]}),
            _wrong(
                SUBMIT_BATCH,
                {
                    "tasks": [
                        {**good, "key": "a", "depends_on": ["b"]},
                        {**good, "key": "b", "depends_on": ["a"]},
                    ]
                },
            ),
            _wrong(SET_SETTINGS, {"max_concurrent": 0}),
            Refused(route=WEIGH, statuses=(422,), parameters={"name": "blue"}, body='{"weight": 0}'),
            Refused(
                route=REPRIORITISE,
                statuses=(404,),
                parameters={"task_id": "tnobody"},
                body='{"priority": "low"}',
            ),
            Refused(route=TASK, statuses=(404,), parameters={"task_id": "tnobody"}),
            Refused(route=CANCEL, statuses=(404,), parameters={"task_id": "tnobody"}, body="{}"),
            Refused(route=RETRY, statuses=(404,), parameters={"task_id": "tnobody"}, body="{}"),
            Refused(route=SUBMIT, statuses=(401,), body="{}", headers={"Authorization": "Bearer nobody's"}),
            Refused(route=SHOWN_EVENTS, statuses=(401,), headers={"Authorization": "Bearer nobody's"}),
            Refused(route=SHOWN_EVENTS, statuses=(422,), query="?limit=0"),
            Refused(route=STREAM, statuses=(422,), headers={"Last-Event-ID": "yesterday"}),
        ]
    )


def _wrong(route: Route, body: dict[str, Any]) -> Refused:
    return Refused(route=route, statuses=(422,), body=json.dumps(body))
