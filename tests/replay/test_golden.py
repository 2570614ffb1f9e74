"""Streams as earlier code recorded them lead to the same states with today's code."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.testing import replay
from services.scheduler.app import service as scheduler

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.jsonl"))


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of one file that a test may change."""
    return Path(shutil.copy(HERE / "simulated-two-attempts.jsonl", tmp_path))


def test_there_are_streams_of_simulated_and_of_real_tasks_with_every_way_to_end() -> None:
    types = {step.event.type for path in FILES for step in replay.read(path).steps}
    assert {"task_done", "task_given_up", "loop_opened", "plan_delta_recorded", "gate_decided"} <= types
    assert {path.name.partition("-")[0] for path in FILES} == {"simulated", "real"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_streams_fold_to_the_states_they_had(path: Path) -> None:
    assert replay.differences(replay.read(path)) == []


def test_a_file_tells_nothing_of_the_machine_on_which_it_was_recorded() -> None:
    for path in FILES:
        assert not [word for word in ("/work", "/home", "/root", "/tmp") if word in path.read_text()]


def test_a_fold_that_changed_is_named_with_the_first_event_after_which_it_differs(
    golden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (task,) = (one for one in scheduler.owns if one.category == "task")

    def forgetful(state: Any, event: Any) -> Any:
        after = task.evolve(state, event)
        return state if type(event).__name__ == "StageRequested" else after

    owns = tuple(
        dataclasses.replace(one, evolve=forgetful) if one.category == "task" else one
        for one in scheduler.owns
    )
    monkeypatch.setattr("services.scheduler.app.service", dataclasses.replace(scheduler, owns=owns))
    assert replay.main([str(golden)]) == 1
    said = capsys.readouterr().out
    assert "(stage_requested)" in said
    assert "state.attempts" in said


def test_an_event_that_no_class_reads_any_more_is_named(golden: Path) -> None:
    text = golden.read_text()
    golden.write_text(text.replace('"type":"task_admitted"', '"type":"task_welcomed"'))
    (said,) = replay.differences(replay.read(golden))
    assert "task_welcomed is not known any more" in said
    golden.write_text(text.replace('"slot":', '"slit":').replace('"priority":"normal"', '"priority":7'))
    assert replay.differences(replay.read(golden)) != []


def test_a_missing_event_is_named(golden: Path) -> None:
    lines = golden.read_text().splitlines(keepends=True)
    golden.write_text("".join(lines[:3] + lines[4:]))
    (said,) = replay.differences(replay.read(golden))
    assert "has no version" in said


def test_accepted_states_are_the_new_expectation_and_the_events_stay(golden: Path) -> None:
    before = golden.read_bytes()
    spoilt = before.replace(b'"phase":"done"', b'"phase":"lost"')
    assert spoilt != before
    golden.write_bytes(spoilt)
    assert replay.main([str(golden)]) == 1
    assert replay.main(["--accept", str(golden)]) == 0
    assert golden.read_bytes() == before


def test_states_that_are_equal_are_equal_bytes() -> None:
    words = [f"word-{number}" for number in range(50)]
    one, other = frozenset(words), frozenset(reversed(words))
    assert replay.encoded({"a": one, "b": {1: 2, 0: 3}}) == replay.encoded({"b": {0: 3, 1: 2}, "a": other})


def test_recording_needs_to_know_what_and_by_whom(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        replay.main(["--record", str(tmp_path / "new.jsonl"), str(golden)])
    assert refused.value.code == 2


def test_a_file_is_as_it_was_written(golden: Path, tmp_path: Path) -> None:
    read = replay.read(golden)
    replay.write(tmp_path / "again.jsonl", read.header, read.steps, read.ends)
    assert (tmp_path / "again.jsonl").read_bytes() == golden.read_bytes()
    assert msgspec.json.encode(read.header) == golden.read_bytes().splitlines()[0]
