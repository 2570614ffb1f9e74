"""The load test tells what happened, and a run with anything wrong in it is not sound."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.task import TaskSpec
from loadtest.checker.judge import Breach
from loadtest.checker.record import Record
from loadtest.traffic import repository, wishes
from loadtest.traffic.continuity import Continuity
from loadtest.traffic.report import Report, RouteFigure, failures, report, routes, text
from services.scheduler.domain.batch import read_batch
from services.scheduler.domain.submission import faults


def event(stream: str, version: int) -> str:
    return json.dumps({"stream": stream, "version": version, "more": "than is looked at"})


def test_a_client_notices_a_gap_and_a_repetition_over_all_its_connections() -> None:
    client = Continuity()
    assert client.hear("10", event("task-a", 7)) == ""
    assert client.hear("11", event("run-b", 1)) == ""
    assert client.hear("12", event("task-a", 8)) == ""
    assert client.position == "12"
    assert "version 10 came where 9 was next" in client.hear("13", event("task-a", 10))
    assert "version 10 came where 11 was next" in client.hear("13", event("task-a", 10))


@pytest.mark.parametrize("seed", range(20))
def test_tasks_and_batches_of_the_load_test_are_accepted(seed: int) -> None:
    chance = random.Random(seed)
    spec = msgspec.convert(wishes.task(chance, 1.0), TaskSpec)
    assert (faults(spec, "t1", []), spec.synthetic) == ([], True)
    agent = msgspec.convert(repository.task("/somewhere", "/tools", "1"), TaskSpec)
    assert (faults(agent, "t2", []), agent.synthetic) == ([], True)
    batch = wishes.batch(chance, 1.0)
    read, found = read_batch(batch, False)
    assert read is not None
    assert (len(read.tasks), found) == (len(batch["tasks"]), [])


ROUTE = RouteFigure(
    method="GET", name="scheduler /v1/tasks", requests=9, failures=0, p50=1.0, p95=2.0, p99=3.0
)


def run(breaches: list[Breach] | None = None, **changed: Any) -> Report:
    said = {"load": (0.0, 0.0), "generator": 0, "routes": (ROUTE,), "failures": (), "accepted": 0, **changed}
    return report(Record(events=[]), breaches or [], (0.0, 10.0), 100, **said)


def test_a_run_is_sound_only_without_failures_and_breaches() -> None:
    assert run().sound
    failed = msgspec.structs.replace(ROUTE, failures=1)
    unsound = [
        run(generator=1),
        run(routes=()),
        run(routes=(failed,)),
        run(failures=(("GET /", "500", 1),)),
        run([Breach("slots", "101 tasks hold slots")]),
        msgspec.structs.replace(run(), slots=(101, 99.0)),
    ]
    assert not any(one.sound for one in unsound)
    assert "BREACH slots: 101 tasks hold slots" in text(unsound[4])


def test_what_the_generator_wrote_is_read(tmp_path: Path) -> None:
    entry = {"method": "GET", "name": "scheduler /v1/tasks", "num_requests": 100, "num_failures": 2}
    written = tmp_path / "figures.json"
    written.write_text(json.dumps([{**entry, "response_times": {"5": 50, "7": 45, "200": 5}}]))
    (tmp_path / "figures_failures.csv").write_text(
        'Method,Name,Error,Occurrences\nGET,/v1/tasks,"500, expected 200",2\n'
    )
    (tmp_path / "figures_exceptions.csv").write_text(
        "Count,Message,Traceback,Nodes\n1,one key two tasks,…,local\n"
    )
    (found,) = routes(written)
    assert (found.requests, found.failures, found.p50, found.p95, found.p99) == (100, 2, 5.0, 7.0, 200.0)
    assert failures(tmp_path / "figures") == (
        ("GET /v1/tasks", "500, expected 200", 2),
        ("a user", "one key two tasks", 1),
    )
    assert routes(tmp_path / "nothing.json") == ()
