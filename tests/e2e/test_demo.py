"""The demo ends as promised, and what it leaves can be read with git and a shell alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.e2e.stack import Stack, environment, git

_EXPECTED: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parents[2] / "examples/demo/expected.yaml").read_text()
)


@pytest.fixture(scope="module")
def demo(demo_rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What `demo` said about each of its tasks."""
    return {row["key"]: row for row in demo_rows}


def forge_of(pull: dict[str, Any]) -> Path:
    """Return the bare repository that holds a pull request."""
    return Path(unquote(pull["url"].removeprefix("file://").partition("#")[0]))


def test_every_task_ends_as_expected(demo: dict[str, dict[str, Any]]) -> None:
    assert {key: row["outcome"] for key, row in demo.items()} == {
        key: one["outcome"] for key, one in _EXPECTED.items()
    }
    for key, one in _EXPECTED.items():
        assert one.get("reason", "") in demo[key]["reason"]


def test_only_what_is_done_has_a_pull_request(stack: Stack, demo: dict[str, dict[str, Any]]) -> None:
    for row in demo.values():
        pulls = stack.task(row["id"]).get("pull_requests", [])
        assert len(pulls) == (1 if row["outcome"] == "done" else 0), row


def test_pull_requests_are_read_with_git_alone(stack: Stack, demo: dict[str, dict[str, Any]]) -> None:
    for key in ("right", "builds-on"):
        [pull] = stack.task(demo[key]["id"])["pull_requests"]
        forge, number = forge_of(pull), pull["number"]
        assert git(forge, "rev-parse", f"refs/pull/{number}/head^{{tree}}") == demo[key]["tree"]
        body = git(forge, "show", f"refs/pull/{number}/meta:body.md")
        assert "## Evidence" in body
        assert demo[key]["tree"] in body
        assert git(forge, "show", f"refs/pull/{number}/meta:state") == "open"


def test_what_builds_on_another_change_proposes_only_its_own(
    stack: Stack, demo: dict[str, dict[str, Any]]
) -> None:
    [below] = stack.task(demo["right"]["id"])["pull_requests"]
    [above] = stack.task(demo["builds-on"]["id"])["pull_requests"]
    assert above["base"] == below["branch"]
    commits = git(forge_of(above), "rev-list", f"{below['commit']}..{above['commit']}").split()
    assert commits == [above["commit"]]


def test_an_incident_is_reproduced_on_a_clean_clone(
    stack: Stack, demo: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for key in ("breaks-another", "skips-the-test"):
        directory = Path(demo[key]["read"])
        assert "Reproduce" in (directory / "README.md").read_text()
        tried = subprocess.run(
            [directory / "reproduce", tmp_path / key],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
            check=False,
        )
        assert tried.returncode == 1, tried
        assert "The failure shows" in tried.stdout


def test_evidence_is_read_by_the_command_line(stack: Stack, demo: dict[str, dict[str, Any]]) -> None:
    task_id = demo["right"]["id"]
    listed = stack.json("evidence", task_id)
    names = {one["name"] for one in listed}
    assert any(name.endswith("/receipts.json") for name in names)
    [diff] = [one for one in listed if one["stage"] == "implement"]
    shown = stack.run("evidence", task_id, diff["digest"][:12])
    assert shown.returncode == 0
    assert shown.stdout.startswith("diff --git")
    assert len(shown.stdout.encode()) == diff["size"]


def test_tasks_given_up_raise_a_warning(stack: Stack, demo: dict[str, dict[str, Any]]) -> None:
    warned = {one["task_id"] for one in stack.json("alerts") if one["severity"] == "warning"}
    assert {demo["breaks-another"]["id"], demo["skips-the-test"]["id"]} <= warned
