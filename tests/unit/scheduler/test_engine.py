"""What `engine: auto` means, and what engines refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.task import TaskSpec
from services.scheduler.domain.submission import faults, with_engine


def spec(**values: Any) -> TaskSpec:
    repo = {"name": "r", "url": "u", "verify": {"test": "pytest"}}
    return msgspec.convert({"title": "t", "repos": [repo], **values}, TaskSpec)


@pytest.mark.parametrize(
    ("values", "agent", "engine"),
    [
        ({"patch": "text"}, True, "patch"),
        ({"patch": {"r": "text"}}, False, "patch"),
        ({}, True, "command"),
        ({}, False, "repair"),
        ({"engine": "patch", "patch": "text"}, True, "patch"),
        ({"engine": "command"}, False, "command"),
    ],
)
def test_auto_is_the_patch_then_the_agent_then_repair(
    values: dict[str, Any], agent: bool, engine: str
) -> None:
    assert with_engine(spec(**values), agent).engine == engine


def test_a_patch_for_an_engine_that_applies_none_is_refused() -> None:
    assert [field for field, _ in faults(spec(engine="command", patch="text"), "t1", ())] == ["patch"]
    assert faults(spec(engine="command"), "t1", ()) == []
