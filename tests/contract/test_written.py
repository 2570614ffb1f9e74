"""What people write by hand has a schema that an editor can use: it takes what the product takes and refuses the rest."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from autopilot.documents import ROOT
from autopilot.schema import WRITTEN, classes, described, written
from contracts.task import TaskSpec

EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.yaml") if path.name != "expected.yaml")
MODELINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)
GOOD = {"title": "t", "repos": [{"name": "r", "url": "/r", "verify": {"test": "pytest"}}]}


@cache
def validator(name: str) -> Any:
    """The published schema, as an editor applies it."""
    schema = json.loads((ROOT / "contracts" / "schemas" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", WRITTEN)
def test_every_field_says_what_it_means(name: str) -> None:
    for cls in classes(WRITTEN[name][1]):
        missing = {field.name for field in msgspec.structs.fields(cls)} - set(described(cls))
        assert not missing, f"{cls.__name__}: no `#:` comment above {missing}"
        assert cls.__doc__


@pytest.mark.parametrize("name", WRITTEN)
def test_a_schema_names_itself_and_lets_nothing_unknown_through(name: str) -> None:
    schema = written(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"].startswith("urn:autopilot:schema:")
    assert schema["title"]
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        for field in part["properties"].values():
            assert field["description"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_good_for_the_schema_and_for_the_product(path: Path) -> None:
    named = MODELINE.search(path.read_text())
    assert named, "an editor does not know which schema is meant"
    assert (path.parent / named[1]).resolve() == ROOT / "contracts" / "schemas" / "task.schema.json"
    for task in yaml.safe_load_all(path.read_text()):
        validator("task").validate(task)
        validator("batch").validate({"tasks": [task]})
        assert msgspec.convert(task, TaskSpec)


def test_the_shortest_task_is_one() -> None:
    validator("task").validate(GOOD)
    assert msgspec.convert(GOOD, TaskSpec).engine == "auto"


@pytest.mark.parametrize(
    "changed",
    [
        {"title": ""},
        {"title": 7},
        {"titel": "t"},
        {"repos": []},
        {"repos": {}},
        {"repos": [{"name": "r"}]},
        {"repos": [{"name": "a/b", "url": "/r"}]},
        {"repos": [{"name": "r", "url": "/r", "brnch": "x"}]},
        {"repos": [{"name": "r", "url": "/r", "env": {"A": 1}}]},
        {"repos": [{"name": "r", "url": "/r", "fail_to_pass": "pytest"}]},
        {"repos": [{"name": "r", "url": "/r", "verify": {"tests": "pytest"}}]},
        {"repos": [{"name": "r", "url": "/r", "monitor": {"window_s": -1}}]},
        {"engine": "magic"},
        {"priority": "high"},
        {"depends_on": "a"},
        {"key": "with space"},
        {"budget": {"wall_s": 0}},
        {"budget": {"memory_mb": "much"}},
        {"patch": ["a"]},
        {"synthetic": "yes"},
    ],
    ids=json.dumps,
)
def test_what_the_product_refuses_the_schema_refuses(changed: dict[str, Any]) -> None:
    bad = {**GOOD, **changed}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, TaskSpec)
    assert not validator("task").is_valid(bad)
    assert not validator("batch").is_valid({"tasks": [GOOD, bad]})


def test_a_batch_is_refused_where_it_is_empty_or_too_long() -> None:
    for tasks in ([], [GOOD] * 501, GOOD):
        assert not validator("batch").is_valid({"tasks": tasks})
    validator("batch").validate({"tasks": [GOOD] * 500})
