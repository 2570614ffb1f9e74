"""Several tasks in one call, one task without a file, and the same request sent again: through the whole stack."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.e2e import till
from tests.e2e.stack import Stack

NOOP: dict[str, Any] = {
    "title": "A walk",
    "engine": "noop",
    "synthetic": True,
    "repos": [{"name": "none", "url": "/nowhere"}],
}


def test_tasks_of_one_file_run_in_the_order_of_their_dependencies(stack: Stack, tmp_path: Path) -> None:
    tasks = [{**NOOP, "key": "second", "depends_on": ["first"]}, {**NOOP, "key": "first"}]
    file = tmp_path / "tasks.yaml"
    file.write_text("\n---\n".join(json.dumps(task) for task in tasks))
    done = stack.run("submit", file, "--wait", "--json")
    assert done.returncode == 0, done
    second, first = json.loads(done.stdout)
    assert (second["key"], first["key"]) == ("second", "first")
    assert second["depends_on"] == [first["id"]]
    assert (second["phase"], first["phase"]) == ("done", "done")
    [shown] = {second["batch"], first["batch"]}
    told = stack.http("scheduler", "GET", f"/v1/batches/{shown}").json()
    assert (told["ended"], told["phases"]) == (True, {"done": 2})

    admitted = {}
    for task_id in (first["id"], second["id"]):
        for event in stack.events(task_id):
            if event["type"] in ("task_admitted", "task_done"):
                admitted[task_id, event["type"]] = event["position"]
    assert admitted[first["id"], "task_done"] < admitted[second["id"], "task_admitted"]


def test_a_batch_sent_again_and_at_once_is_one_batch(stack: Stack) -> None:
    body = {"tasks": [{**NOOP, "key": f"k{place}", "depends_on": [f"k{place + 1}"]} for place in range(20)]}
    body["tasks"].append({**NOOP, "key": "k20"})

    def post(_: int) -> httpx.Response:
        return stack.http("scheduler", "POST", "/v1/batches", json=body, headers={"Idempotency-Key": "again"})

    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = list(pool.map(post, range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
    [batch] = {answer.text for answer in answers}
    ids = [one["id"] for one in json.loads(batch)["tasks"]]
    assert len(set(ids)) == 21
    body["tasks"].pop()
    assert post(0).status_code == 422
    # Nobody has to wait for their walks.
    stack.run_all(*(["cancel", task_id] for task_id in ids[-1:]))


def test_a_task_without_a_file_ends_in_a_pull_request(stack: Stack, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "fix.patch").write_text(till.MENDED)
    (repository / "notes.txt").write_text("not committed\n")
    # As it is for somebody whose virtual environment lies in the repository.
    (repository / ".venv").symlink_to(Path(sys.executable).parent.parent)
    task = [
        *("submit", "--repo", repository / "tests", "--title", "The last price is left out"),
        *("--fail-to-pass", "python -m pytest -q", "--patch", tmp_path / "fix.patch"),
        *("--memory", "256", "--wall", "300", "--key", "mended"),
    ]
    dry, done = stack.run_all([*task, "--dry-run"], [*task, "--wait", "--json"])
    assert done.returncode == 0, done
    [ended] = json.loads(done.stdout)
    assert (ended["phase"], ended["key"], len(ended["pull_requests"])) == ("done", "mended", 1)
    assert ended["pull_requests"][0]["base"] == "main"
    assert "2 files are not committed there" in done.stderr
    assert "programs of" in done.stderr
    # What was printed instead of sent is a file that can be sent.
    (tmp_path / "printed.yaml").write_text(dry.stdout)
    again = stack.run("submit", tmp_path / "printed.yaml", "--dry-run")
    assert (again.returncode, again.stdout) == (0, dry.stdout)
    assert {one.name for one in repository.iterdir()} == {
        *(".git", ".venv", "notes.txt", "pytest.ini", "tests", "till.py")
    }
    assert (repository / "till.py").read_text() == till.FAULTY


def test_what_the_stack_refuses_is_told_by_file_and_option(stack: Stack, tmp_path: Path) -> None:
    good = till.write(tmp_path / "good.yaml", NOOP)
    lost = till.write(tmp_path / "lost.yaml", {**NOOP, "depends_on": ["tnobody", "also-nobody"]})
    options = ["--repo", "https://host.example/r", "--title", "t", "--test", "true", "--engine", "command"]
    files, option = stack.run_all(["submit", good, lost], ["submit", *options, "--depends-on", "tnobody"])
    assert (files.returncode, option.returncode) == (2, 2), (files, option)
    assert files.stdout == ""
    assert f"{lost}: depends_on[0]: there is no task 'tnobody'" in files.stderr
    assert f"{lost}: depends_on[1]: there is no task 'also-nobody'" in files.stderr
    assert "--depends-on: there is no task 'tnobody'" in option.stderr
