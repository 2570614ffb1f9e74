"""A task file with one fault is refused by a sentence that names the file and the field or the cause, before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autopilot.cli.failure import UsageError
from autopilot.cli.main import app
from tests.e2e import till

GOOD = till.task("/nowhere")
REPO = GOOD["repos"][0]


def _yaml(**changed: Any) -> str:
    return json.dumps({**GOOD, **changed})


#: What a file holds, and words of the complaint.
FILES = {
    "malformed": ("title: [unclosed\nrepos: x\n", ["not valid YAML", "line"]),
    "no mapping": ("- title\n", ["mapping"]),
    "empty": ("", ["mapping"]),
    "unknown field": (_yaml(colour="blue"), ["colour"]),
    "unknown field of a repository": (_yaml(repos=[{**REPO, "brnch": "x"}]), ["repos", "brnch"]),
    "missing field": (json.dumps({"repos": GOOD["repos"]}), ["title"]),
    "wrong type": (_yaml(budget={"wall_s": "long"}), ["budget.wall_s"]),
    "key given twice": ("title: one\ntitle: two\nrepos: []\n", ["'title' is given twice", "line 2"]),
    "missing patch file": (_yaml(patch="nowhere.patch"), ["patch", "nowhere.patch"]),
    "no patch": (_yaml(patch=None), ["patch"]),
    "unavailable engine": (_yaml(engine="llm"), ["engine", "llm", "patch"]),
    "nothing to prove": (_yaml(repos=[{**REPO, "verify": {}, "fail_to_pass": []}]), ["repos[0].verify.test"]),
    "depends on itself": (_yaml(key="me", depends_on=["me"]), ["depends_on", "cycle"]),
    "name with a slash": (_yaml(repos=[{**REPO, "name": "a/b"}]), ["repos[0].name"]),
    "no repository": (_yaml(repos=[]), ["repos"]),
}


def submitted(tmp_path: Path, name: str, content: str) -> Any:
    file = tmp_path / f"{name}.yaml"
    file.write_text(content)
    return CliRunner().invoke(app, ["submit", str(file), "--data-dir", str(tmp_path / "no stack")])


@pytest.mark.parametrize("fault", FILES)
def test_a_file_is_refused(tmp_path: Path, fault: str) -> None:
    content, words = FILES[fault]
    refused = submitted(tmp_path, fault, content)
    assert isinstance(refused.exception, UsageError), refused
    assert refused.exception.code == 2
    assert refused.stdout == ""
    for word in [f"{fault}.yaml", *words]:
        assert word in str(refused.exception)


def test_without_a_fault_only_the_stack_is_missing(tmp_path: Path) -> None:
    assert submitted(tmp_path, "good", _yaml()).exception.code == 3
